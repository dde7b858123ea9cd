"""deepbet's pipeline from a head to the mask of its brain: pure functions that take the network.

It follows the package (deepbet 1.0.2, ``bet.py``): axes towards RAS+, the complete image at 128
voxels a side by nearest voxel, scaled by its quantiles 0.005 and 0.995 and standardised; the first
network's brain gives a box with a tenth of its size as margin; the box at 256 voxels a side, scaled
likewise; the second network's probability above one half at the nearest voxel; the largest
component, with its holes filled.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

import numpy as np
from scipy import ndimage

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import VoxelGrid, canonical, put_back, sample, voxel_grid_of

TARGET = "brain"
SMALL = (128, 128, 128)
FULL = (256, 256, 256)
QUANTILES = (0.005, 0.995)
#: share of the box's size that is added on each side
MARGIN = 0.1
#: a slice belongs to the box if more of it than this is brain
SLICE_SHARE = 0.02
THRESHOLD = 0.5
#: mean and deviation of the networks' input, as they were trained
MEAN, DEVIATION = np.float32(0.449), np.float32(0.226)

OPTIONS: Dict[str, Tuple[str, ...]] = {}

Box = Tuple[slice, slice, slice]


class Network(Protocol):
    """What the pipeline needs: two networks that give the probability of brain."""

    def locate(self, head: Volume) -> Any:
        """Float32 (128, 128, 128) from the complete image of that shape."""

    def segment(self, box: Volume) -> Any:
        """Float32 (256, 256, 256) from the box about the brain of that shape."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; there are no options."""
    seconds = Seconds()
    outcomes: Dict[str, Any] = {
        t.name: Unsupported("deepbet segments the brain and nothing else") for t in request.targets
    }
    notes: Dict[str, Any] = {"options": dict(options)}
    if TARGET in outcomes:
        grid = canonical(voxel_grid_of(request.grid))
        with seconds.of("preprocess"):
            values = sample(image.array, image.affine, grid, nearest=True, outside=None)
            values = np.nan_to_num(np.asarray(values, dtype=np.float32))
        try:
            mask, box = brain_mask(values, grid, network, seconds)
        except Undefined as error:
            # no brain in this image is an answer: nothing of it is marked
            outcomes[TARGET] = np.zeros(tuple(request.grid.shape), dtype=bool)
            notes["empty"] = str(error)
        else:
            notes["box"] = [[part.start, part.stop] for part in box]
            with seconds.of("postprocess"):
                outcomes[TARGET] = put_back(mask, grid, request.grid, outside=None)
    return Prediction(outcomes, notes=notes, seconds=seconds)


def brain_mask(values: Any, grid: VoxelGrid, network: Network, seconds: Seconds) -> Tuple[Any, Box]:
    """The mask on the grid, and the box in which the second network looked.

    Raises:
        Undefined: there is no brain: the image has no contrast, or a network finds none.
    """
    with seconds.of("preprocess"):
        everything = (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
        small = nearest(values, SMALL)
        low, high = np.quantile(small.astype(np.float64), QUANTILES).astype(np.float32)
        head = Volume(scaled(small, low, high), affine_of_box(grid, everything, SMALL))
    with seconds.of("infer"):
        found = largest_component(network.locate(head) > THRESHOLD)
    box = box_about(found, grid.shape)
    with seconds.of("preprocess"):
        part = scaled(nearest(values[box], FULL), low, high)
    with seconds.of("infer"):
        probability = network.segment(Volume(part, affine_of_box(grid, box, FULL)))
    with seconds.of("postprocess"):
        mask = np.zeros(grid.shape, dtype=bool)
        brain = nearest(probability, mask[box].shape) > THRESHOLD
        mask[box] = ndimage.binary_fill_holes(largest_component(brain))
    return mask, box


def nearest(array: Any, shape: Sequence[int]) -> Any:
    """The array at another shape by nearest voxel: torch's ``nearest-exact``."""
    indices = [
        np.minimum(((np.arange(n) + 0.5) * (size / n)).astype(np.int64), size - 1)
        for n, size in zip(shape, array.shape)
    ]
    return array[np.ix_(*indices)]


def scaled(values: Any, low: float, high: float) -> Any:
    """Values between two quantiles to 0..1, then standardised, float32.

    Raises:
        Undefined: all values are equal.
    """
    if not high > low:
        raise Undefined("no contrast: the quantiles 0.005 and 0.995 of the image are equal")
    scaled_values = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    deviation = scaled_values.std(ddof=1, dtype=np.float64)
    if not deviation > 0:
        raise Undefined("no contrast: the part of the image that the network would see is constant")
    centred = (scaled_values - scaled_values.mean(dtype=np.float64)) / deviation
    return DEVIATION * centred.astype(np.float32) + MEAN


def largest_component(mask: Any) -> Any:
    """The largest component (26 neighbours) of a mask; the first one of several equal ones.

    Raises:
        Undefined: the mask is empty.
    """
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if not count:
        raise Undefined("the network finds no brain in this image")
    return components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))


def box_about(mask: Any, shape: Sequence[int]) -> Box:
    """The box with a margin about a mask of the complete image, in voxels of the image.

    Raises:
        Undefined: the mask fills no slice to two hundredths.
    """
    parts: List[slice] = []
    for axis, size in enumerate(shape):
        others = tuple(n for n in range(3) if n != axis)
        (inside,) = np.nonzero(mask.mean(axis=others) > SLICE_SHARE)
        if not inside.size:
            raise Undefined("what the network finds is too small for a brain")
        scale = np.float32(size) / np.float32(mask.shape[axis])
        first, end = inside.min(), inside.max() + 1
        centre = np.round(scale * np.float32((first + end) / 2))
        extent = np.round(np.float32(1 + 2 * MARGIN) * (scale * np.float32(end - first)))
        parts.append(
            slice(max(0, int(centre - extent / 2)), min(int(size), int(centre + extent / 2)))
        )
    return (parts[0], parts[1], parts[2])


def affine_of_box(grid: VoxelGrid, box: Box, shape: Sequence[int]) -> Any:
    """Where the voxels of a box lie that was brought to another shape."""
    scale = [(part.stop - part.start) / n for part, n in zip(box, shape)]
    inner = np.diag([*scale, 1.0])
    # the centre of the first voxel: half a new voxel from the face of the box
    inner[:3, 3] = [part.start - 0.5 + s / 2 for part, s in zip(box, scale)]
    return np.asarray(grid.affine) @ inner
