"""MindGrab's pipeline from a head to the mask of its brain: pure functions that take the network.

It follows brainchop 0.2.5 and the niimath that it calls: intensities to 0..255 up to the 98th
percentile of the voxels that are not zero, a box of 256 mm and 1 mm voxels about the image's
centre with axes Left, Inferior, Anterior, quantiles 0.02 and 0.98 of the box to 0..1, the class
with the larger logit, the largest component (26 neighbours), the nearest voxel back.

Two differences are options: CT goes through brainchop's ``--ct`` without being asked, and
``box=top`` puts the box at the image's upper end, where a whole-body scan has its head.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Tuple

import numpy as np
from scipy import ndimage

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import VoxelGrid, voxel_grid_of

TARGET = "brain"
#: voxels of the box's edges, and their size in mm
EDGE, SIZE = 256, 1.0
#: brightest share of the voxels that are not zero, which is cut
BRIGHT = 0.02
BINS = 1000
QUANTILES = (0.02, 0.98)
#: added to the range of the quantiles, so that it is never zero
EPSILON = 1e-3
#: Cormack units: HU + 1000 up to -100 HU, ten times as steep up to 100 HU
SOFT_TISSUE, STEEPNESS = (-100.0, 100.0), 10.0

OPTIONS: Dict[str, Tuple[str, ...]] = {"ct": ("cormack", "hounsfield"), "box": ("centre", "top")}


class Network(Protocol):
    """What the pipeline needs."""

    def is_brain(self, head: Volume) -> Any:
        """Bool (256, 256, 256) from the box, float32 0..1, axes L, I, A."""


def predict(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    outcomes: Dict[str, Any] = {
        t.name: Unsupported("MindGrab segments the brain and nothing else") for t in request.targets
    }
    notes: Dict[str, Any] = {"options": dict(options)}
    if TARGET in outcomes:
        try:
            outcomes[TARGET] = _brain(image, request, network, options, seconds)
        except Undefined as error:
            # no brain in this image is an answer: nothing of it is marked
            outcomes[TARGET] = np.zeros(tuple(request.grid.shape), dtype=bool)
            notes["empty"] = str(error)
    return Prediction(outcomes, notes=notes, seconds=seconds)


def _brain(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
    seconds: Seconds,
) -> Any:
    with seconds.of("preprocess"):
        values = np.nan_to_num(np.asarray(image.array, dtype=np.float32))
        if "CT" in request.images and options["ct"] == "cormack":
            values = cormack(values)
        grid = box_grid(VoxelGrid(values.shape, image.affine), options["box"])
        conformed = resampled(to_bytes(values), image.affine, grid, order=1)
        head = Volume(scaled(np.rint(conformed)), grid.affine)
    with seconds.of("infer"):
        brain = network.is_brain(head)
    with seconds.of("postprocess"):
        mask = resampled(
            largest_component(brain).astype(np.uint8),
            grid.affine,
            voxel_grid_of(request.grid),
            order=0,
        )
    return mask > 0


def cormack(hounsfield: Any) -> Any:
    """HU with the contrast of soft tissue stretched: brainchop's ``--ct``."""
    low, high = SOFT_TISSUE
    air = np.maximum(hounsfield + 1000, 0)
    return air + (STEEPNESS - 1) * (np.clip(hounsfield, low, high) - low)


def to_bytes(values: Any) -> Any:
    """Float32 0..255 from the smallest value to the brightest that is not cut.

    The end is the lower edge of a bin of a histogram of ``BINS``.

    Raises:
        Undefined: all values are equal.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        raise Undefined("no contrast: all voxels are equal")
    width = (high - low) / BINS
    counts, _ = np.histogram(values, bins=BINS, range=(low, high))
    dark = values.size - int(BRIGHT * np.count_nonzero(values))
    # the bin before the one in which the cumulative count reaches the share
    place = int(np.searchsorted(np.cumsum(counts), dark)) - 1
    most = low + max(place, 0) * width
    if not most > low:
        raise Undefined("no contrast: nearly all voxels have the smallest value")
    return np.clip((values - low) * (255 / (most - low)), 0, 255).astype(np.float32)


def box_grid(image_grid: VoxelGrid, place: str) -> VoxelGrid:
    """The box of 256 mm about the image's centre, or with its upper face at the image's.

    Its axes are the world's: Left, Inferior, Anterior, whatever the image's are.
    """
    shape, affine = np.array(image_grid.shape), np.asarray(image_grid.affine, dtype=np.float64)
    # FreeSurfer's centre: index shape / 2, not the middle of the voxels
    centre = (affine @ [*(shape / 2), 1])[:3]
    if place == "top":
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape])).reshape(3, -1)
        top = float((affine[2, :3] @ corners).max() + affine[2, 3])
        centre[2] = top - min(EDGE * SIZE, 2 * (top - centre[2])) / 2
    turned = np.zeros((4, 4))
    turned[0, 0], turned[2, 1], turned[1, 2], turned[3, 3] = -SIZE, -SIZE, SIZE, 1
    turned[:3, 3] = centre - turned[:3, :3] @ np.full(3, EDGE / 2)
    return VoxelGrid((EDGE, EDGE, EDGE), turned)


def resampled(array: Any, affine: Any, grid: VoxelGrid, *, order: int) -> Any:
    """The array on any grid, linear (``order`` 1) or by nearest voxel (0), zero outside of it."""
    return ndimage.affine_transform(
        array,
        np.linalg.inv(affine) @ np.asarray(grid.affine),
        output_shape=tuple(grid.shape),
        order=order,
        mode="constant",
        cval=0,
    )


def scaled(values: Any) -> Any:
    """Values between the two quantiles of the box to 0..1, float32.

    Raises:
        Undefined: the quantiles are equal: nearly all of the box is outside of the image.
    """
    low, high = np.quantile(values, QUANTILES)
    if not high > low:
        raise Undefined("no contrast: the box of 256 mm shows nearly nothing of the image")
    return np.clip((values - low) / (high - low + EPSILON), 0, 1).astype(np.float32)


def largest_component(mask: Any) -> Any:
    """The largest component (26 neighbours) of a mask; the first one of several equal ones.

    Raises:
        Undefined: the mask is empty.
    """
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if not count:
        raise Undefined("the network finds no brain in this image")
    return components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
