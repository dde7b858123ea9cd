"""TotalSegmentator's pipeline from an image to masks: pure functions that take the networks.

It follows the package (TotalSegmentator 2.18.0, nnunet.py and resampling.py): axes turned to RAS+;
to 1.5 mm with scipy's ``zoom`` of order 1, first and last voxel kept, values truncated to integers;
each part's nnU-Net; parts united, a later one over an earlier one; back by nearest voxel, first and
last voxel kept.
"""

from __future__ import annotations

from itertools import chain
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

    #: name -> values in the united map
    labels: Mapping[str, Tuple[int, ...]]
    #: in the order in which they are united: part -> its label -> the united map's
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
    labels_by_target, outcomes = labels_of_targets(request, task.labels)
    parts = chosen_parts(task, labels_by_target, options["parts"])
    notes: Dict[str, Any] = {"options": dict(options), "labels": labels_by_target, "parts": parts}
    if labels_by_target:
        with seconds.of("preprocess"):
            turned = canonical(voxel_grid_of(request.grid))
            network_grid = respaced_between_corners(turned)
            values = network_values(sample(image.array, image.affine, turned), turned)
        if values.any():
            with seconds.of("infer"):
                label_map = united(
                    task, parts, Volume(values.T, reversed_axes(network_grid).affine)
                )
            with seconds.of("postprocess"):
                outcomes.update(
                    masks_from(label_map.T, network_grid, request.grid, labels_by_target)
                )
        else:
            error = Undefined("all voxels are zero when they are truncated to integers")
            outcomes.update(dict.fromkeys(labels_by_target, error))
    return Prediction(outcomes, notes=notes, seconds=seconds)


def chosen_parts(
    task: Task, labels_by_target: Mapping[str, Sequence[int]], which: str
) -> Tuple[str, ...]:
    """All parts, or those that have a label of a target; in order."""
    requested = set(chain.from_iterable(labels_by_target.values()))
    return tuple(
        part
        for part, labels in task.parts.items()
        if which == "all" or requested & set(labels.values())
    )


def new_shape(grid: VoxelGrid) -> Tuple[int, int, int]:
    """How many voxels of 1.5 mm upstream makes of a grid."""
    a, b, c = (
        max(round(n * float(size) / MILLIMETRES), 1) for n, size in zip(grid.shape, _spacing(grid))
    )
    return (a, b, c)


def respaced_between_corners(grid: VoxelGrid) -> VoxelGrid:
    """A grid of about 1.5 mm whose first and last voxels are those of the image.

    The spacing is a little more or less than 1.5 mm, but exact along an axis of one voxel.
    """
    shape, spacing = new_shape(grid), _spacing(grid)
    step = np.eye(4)
    for axis, (old, new) in enumerate(zip(grid.shape, shape)):
        step[axis, axis] = (
            (old - 1) / (new - 1) if min(old, new) > 1 else MILLIMETRES / float(spacing[axis])
        )
    return VoxelGrid(shape=shape, affine=np.asarray(grid.affine) @ step)


def network_values(array: Any, grid: VoxelGrid) -> Any:
    """An image in RAS+ as the networks get it, (x, y, z) float32; unchanged if it has 1.5 mm."""
    zoom = [float(size) / MILLIMETRES for size in _spacing(grid)]
    if all(factor == 1 for factor in zoom):
        return np.asarray(array, dtype=np.float32)
    # by shape, as scipy rounds: zoom would leave no voxel of an axis that is too short
    zoom = [factor if round(n * factor) else 1.0 for n, factor in zip(grid.shape, zoom)]
    resampled = ndimage.zoom(np.asarray(array, dtype=np.float64), zoom, order=1, mode="nearest")
    return np.trunc(resampled).astype(np.float32)


def united(task: Task, parts: Sequence[str], image: Volume) -> Any:
    """One label map from those of the parts."""
    label_map = np.zeros(image.array.shape, dtype=np.uint8)
    for part in parts:
        labels = task.parts[part]
        table = np.zeros(max(labels) + 1, dtype=np.uint8)
        table[list(labels)] = list(labels.values())
        labels_of_part = table[task.label_map(part, image)]
        np.copyto(label_map, labels_of_part, where=labels_of_part != 0)
    return label_map


def _spacing(grid: VoxelGrid) -> Any:
    # a file header stores it in 32 bits
    return np.array(grid.spacing, dtype=np.float32)
