"""The functions of DeepMind's package ``surface_distance``, with the same names and results.

A program that uses the package changes one import. Differences: masks may be booleans or integers
0 and 1, in any memory order, and the work is done by this project's kernels. As in the package, the
axes are taken to be at right angles: a spacing says nothing of shear.

Source of the definitions: Nikolov et al., arXiv 1809.04430.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.label_grid import make_voxel_grid, to_label_grid
from evaluator.metrics.kernels.surface_distance import near_rows, nearest_squares
from evaluator.metrics.label_content import read_content
from evaluator.metrics.target_measurement import labels_in
from evaluator.metrics.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    SurfaceDistances = Mapping[str, NDArray[np.float64]]


def compute_surface_distances(
    mask_gt: NDArray[Any], mask_pred: NDArray[Any], spacing_mm: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Distances of both surfaces to each other, with the area that each distance stands for.

    Args:
        mask_gt: reference, two or three axes, booleans or integers 0 and 1.
        mask_pred: prediction, of the same shape.
        spacing_mm: millimetres along each axis.

    Returns:
        ``distances_gt_to_pred`` and ``surfel_areas_gt``, in order of distance, and the same for the
        prediction: mm and mm^2 (mm of contour with two axes). A distance is infinite where the
        other mask is empty.

    Raises:
        ValueError: shapes differ, a mask has other integers, or a spacing is not positive and
            finite.
        TypeError: masks are neither booleans nor integers.
    """
    grid = make_voxel_grid(mask_gt, spacing_mm)
    maps = [to_label_grid(mask, grid, [(1,)]) for mask in (mask_gt, mask_pred)]
    for mask in (mask_gt, mask_pred):
        if others := [label for label in labels_in(mask) if label != 1]:
            raise ValueError(f"a mask holds 0 and 1, not {others[0]}; compare it with the label")
    with worker_pool(1) as pool:
        contents = read_content(maps, grid, pool, limited=False)
    corners = [content.corners(1) for content in contents]
    result = {}
    for source, other, mask_name, direction in (
        (0, 1, "gt", "gt_to_pred"),
        (1, 0, "pred", "pred_to_gt"),
    ):
        positions, codes = corners[source]
        distances = _distances(positions, corners[other][0], grid.spacing)
        order = np.argsort(distances, kind="stable")
        result[f"distances_{direction}"] = distances[order]
        result[f"surfel_areas_{mask_name}"] = grid.areas[codes][order]
    return result


def compute_average_surface_distance(surface_distances: SurfaceDistances) -> tuple[float, float]:
    """The mean distance of each surface to the other, weighted by area; NaN without a surface."""
    means = []
    for distances, areas in _directions(surface_distances):
        means.append(float(np.sum(distances * areas) / np.sum(areas)) if areas.size else np.nan)
    return means[0], means[1]


def compute_robust_hausdorff(surface_distances: SurfaceDistances, percent: float) -> float:
    """The larger of the two distances within which this percentage of a surface's area lies.

    It is infinite if a mask is empty.
    """
    farthest = []
    for distances, areas in _directions(surface_distances):
        if not distances.size:
            farthest.append(np.inf)
            continue
        shares = np.cumsum(areas) / np.sum(areas)
        position = int(np.searchsorted(shares, percent / 100))
        farthest.append(float(distances[min(position, distances.size - 1)]))
    return max(farthest)


def compute_surface_overlap_at_tolerance(
    surface_distances: SurfaceDistances, tolerance_mm: float
) -> tuple[float, float]:
    """The share of each surface's area that lies within the tolerance; NaN without a surface."""
    shares = []
    for distances, areas in _directions(surface_distances):
        within = np.sum(areas[distances <= tolerance_mm])
        shares.append(float(within / np.sum(areas)) if areas.size else np.nan)
    return shares[0], shares[1]


def compute_surface_dice_at_tolerance(
    surface_distances: SurfaceDistances, tolerance_mm: float
) -> float:
    """The share of the area of both surfaces that lies within the tolerance; NaN without any."""
    within, area = 0.0, 0.0
    for distances, areas in _directions(surface_distances):
        within += float(np.sum(areas[distances <= tolerance_mm]))
        area += float(np.sum(areas))
    return within / area if area else np.nan


def compute_dice_coefficient(mask_gt: NDArray[Any], mask_pred: NDArray[Any]) -> float:
    """Twice the shared voxels, divided by the voxels of both masks; NaN if both are empty."""
    voxels = np.count_nonzero(mask_gt) + np.count_nonzero(mask_pred)
    shared = np.count_nonzero(np.logical_and(mask_gt, mask_pred))
    return 2 * shared / voxels if voxels else np.nan


def _directions(surface_distances: SurfaceDistances) -> list[tuple[Any, Any]]:
    return [
        (surface_distances["distances_gt_to_pred"], surface_distances["surfel_areas_gt"]),
        (surface_distances["distances_pred_to_gt"], surface_distances["surfel_areas_pred"]),
    ]


def _distances(
    positions: NDArray[np.int64], destinations: NDArray[np.int64], spacing: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not positions.size or not destinations.size:
        return np.full(positions.size, np.inf)
    return np.sqrt(nearest_squares(positions, destinations, spacing, *near_rows(spacing)))
