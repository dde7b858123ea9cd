"""What is measured beyond voxels and surfaces: lesions, uptake, centre lines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.skeleton import measure_centre_lines
from evaluator.metrics.kernels.surface_distance import bounds
from evaluator.metrics.lesions import count_lesions
from evaluator.metrics.uptake import Uptake, region_uptake

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid, VoxelGrid
    from evaluator.metrics.measurements import Measurement, Measures
    from evaluator.metrics.pair_measurement import TargetPair


def add_measurements(
    measures: Measures,
    measurements: Collection[Measurement],
    pair: TargetPair,
    voxel_grid: VoxelGrid,
    image: NDArray[Any] | None,
) -> Measures:
    """The measures of one target, with these measurements added.

    Raises:
        ValueError: uptake is requested without an image, or the image has another shape.
    """
    target, maps, box = pair.target, pair.maps, _box(pair, voxel_grid)
    optional: dict[str, Any] = {}
    if "lesions" in measurements:
        optional["lesions"] = count_lesions(*maps, target, box, voxel_grid.voxel_ml)
    if "centre_lines" in measurements:
        optional["centre_lines"] = measure_centre_lines(
            *(_mask(label_grid, target, box, voxel_grid) for label_grid in maps)
        )
    if "uptake" in measurements:
        if image is None:
            raise ValueError("uptake needs an image")
        image = in_memory_order(image, voxel_grid)
        regions = [region_uptake(image, label_grid, target, box, voxel_grid) for label_grid in maps]
        optional["uptake"] = Uptake(reference=regions[0], prediction=regions[1])
    return replace(measures, **optional)


def in_memory_order(image: NDArray[Any], voxel_grid: VoxelGrid) -> NDArray[Any]:
    """An image in the memory order of the label maps, (planes, rows, columns).

    Raises:
        ValueError: the image has another shape than the grid.
    """
    if image.shape != voxel_grid.shape:
        raise ValueError(f"shapes differ: {voxel_grid.shape} and an image of {image.shape}")
    volume = image.T if voxel_grid.reversed_axes else image
    return volume.reshape((1,) * (3 - volume.ndim) + volume.shape)


def _box(pair: TargetPair, voxel_grid: VoxelGrid) -> NDArray[np.int64]:
    """First and last + 1 voxel, (2, 3), of a target in both maps, from its outermost corners."""
    if pair.dense:
        return np.array([(0, 0, 0), pair.maps[0].voxels.shape])
    box = np.array([[2**62] * 3, [-1] * 3])
    for content in pair.contents:
        bounds(content.corners(pair.target)[0], box)
    if box[1, 0] < 0:
        return np.zeros((2, 3), dtype=np.int64)
    box[1, 0] += voxel_grid.flat  # in 2-D all corners lie in one plane
    return box


def _mask(
    label_grid: LabelGrid, target: int, box: NDArray[np.int64], voxel_grid: VoxelGrid
) -> NDArray[np.bool_]:
    """One target's mask, its axes in the array's order.

    The order matters: thinning depends on which direction comes first.
    """
    region = tuple(slice(low, high) for low, high in box.T.tolist())
    mask: NDArray[np.bool_] = (label_grid.table == target)[label_grid.voxels[region]]
    return np.ascontiguousarray(mask.T if voxel_grid.reversed_axes else mask)
