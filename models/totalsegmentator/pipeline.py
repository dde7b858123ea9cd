"""TotalSegmentator's way from an image to masks, with the networks given: pure functions of their arguments.

As the package does it (TotalSegmentator 2.18.0, nnunet.py and resampling.py): axes turned to RAS+;
to 1.5 mm with scipy's ``zoom`` of order 1, first and last voxel kept, values cut to whole numbers;
each part's nnU-Net there; parts united, a later one over an earlier one; back by nearest voxel,
first and last voxel kept.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Sequence, Tuple

import numpy as np
from scipy import ndimage

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.label_maps import labels_of_targets, masks_from
from zoo_transforms.resampling import VoxelGrid, canonical, reversed_axes, sample, voxel_grid_of

OPTIONS = {"parts": ("all", "needed")}
MILLIMETRES = 1.5


class Task(Protocol):
    """The networks of one modality."""

    #: name -> values in the whole map
    labels: Mapping[str, Tuple[int, ...]]
    #: in the order in which they are united: part -> its own label -> the whole map's
    parts: Mapping[str, Mapping[int, int]]

    def label_map(self, part: str, image: Volume) -> Any:
        """A part's labels of an image, on its own voxels; axes (z, y, x), 1.5 mm."""


class Network(Protocol):
    """What the pipeline needs."""

    def task(self, modality: str) -> Task | None:
        """The task for images of a DICOM modality; None if there is none."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    modality = next(iter(request.images))
    task = network.task(modality)
    if task is None:
        none = Unsupported("TotalSegmentator has no task for %s" % modality)
        return Prediction(
            {target.name: none for target in request.targets}, notes={"options": dict(options)}
        )
    wanted, outcomes = labels_of_targets(request, task.labels)
    parts = chosen_parts(task, wanted, options["parts"])
    notes: Dict[str, Any] = {"options": dict(options), "labels": wanted, "parts": parts}
    if wanted:
        with seconds.of("preprocess"):
            turned = canonical(voxel_grid_of(request.grid))
            lattice = respaced_between_corners(turned)
            values = network_values(sample(image.array, image.affine, turned), turned)
        if values.any():
            with seconds.of("infer"):
                found = united(task, parts, Volume(values.T, reversed_axes(lattice).affine))
            with seconds.of("postprocess"):
                outcomes.update(masks_from(found.T, lattice, request.grid, wanted))
        else:
            outcomes.update(
                dict.fromkeys(
                    wanted, Undefined("all voxels are zero when they are cut to whole numbers")
                )
            )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def chosen_parts(task: Task, wanted: Mapping[str, Sequence[int]], which: str) -> Tuple[str, ...]:
    """All parts, or those that have a wanted label; in order."""
    asked = {value for values in wanted.values() for value in values}
    return tuple(
        part for part, own in task.parts.items() if which == "all" or asked & set(own.values())
    )


def new_shape(space: VoxelGrid) -> Tuple[int, int, int]:
    """How many voxels of 1.5 mm upstream makes of a grid."""
    a, b, c = (
        max(round(n * float(size) / MILLIMETRES), 1)
        for n, size in zip(space.shape, _spacing(space))
    )
    return (a, b, c)


def respaced_between_corners(space: VoxelGrid) -> VoxelGrid:
    """The grid of 1.5 mm, in truth a little more or less: its first and last voxels are those of the image.

    An axis of one voxel has no last one: there the step is as it should be.
    """
    shape, spacing = new_shape(space), _spacing(space)
    step = np.eye(4)
    for axis, (old, new) in enumerate(zip(space.shape, shape)):
        step[axis, axis] = (
            (old - 1) / (new - 1) if min(old, new) > 1 else MILLIMETRES / float(spacing[axis])
        )
    return VoxelGrid(shape=shape, affine=np.asarray(space.affine) @ step)


def network_values(array: Any, space: VoxelGrid) -> Any:
    """An image that lies in RAS+ as the networks get it, (x, y, z) float32; as it is where it is of 1.5 mm already."""
    zoom = [float(size) / MILLIMETRES for size in _spacing(space)]
    if all(one == 1 for one in zoom):
        return np.asarray(array, dtype=np.float32)
    # by shape, as scipy rounds: zoom makes nothing of an axis that is too short
    zoom = [one if round(n * one) else 1.0 for n, one in zip(space.shape, zoom)]
    resampled = ndimage.zoom(np.asarray(array, dtype=np.float64), zoom, order=1, mode="nearest")
    return np.trunc(resampled).astype(np.float32)


def united(task: Task, parts: Sequence[str], image: Volume) -> Any:
    """One map of labels from those of the parts."""
    whole = np.zeros(image.array.shape, dtype=np.uint8)
    for part in parts:
        own = task.parts[part]
        table = np.zeros(max(own) + 1, dtype=np.uint8)
        table[list(own)] = list(own.values())
        found = table[task.label_map(part, image)]
        np.copyto(whole, found, where=found != 0)
    return whole


def _spacing(space: VoxelGrid) -> Any:
    # a file's header tells it in 32 bits
    return np.array(space.spacing, dtype=np.float32)
