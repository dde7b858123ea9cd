"""Surfaces that fill the volume: noise has a corner at nearly every voxel.

Lists of such corners would take gigabytes, so one target is measured at a time: its codes on the
full corner grid, and the exact distance transform of the other surface, axis by axis by the lower
envelope of parabolas (Felzenszwalb and Huttenlocher, Theory of Computing 2012;8:415), some columns
of the grid at a time. The numbers equal those of the search by corners. Memory is 2 bytes a voxel,
9 bytes for each corner of the one target, and ``CHUNK_BYTES``, whatever the masks are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit
from evaluator.metrics.kernels.surface_statistics import summarise, unmatched_surface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid, VoxelGrid
    from evaluator.metrics.kernels.surface_statistics import Surface

CHUNK_BYTES = 2**26
"""Memory for the distances of the columns that are processed at once."""


def dense_surfaces(
    reference: LabelGrid,
    prediction: LabelGrid,
    target: int,
    voxel_grid: VoxelGrid,
    tolerance_mm: float,
) -> tuple[Surface, Surface]:
    """Both surfaces of a target that has the same number in both maps."""
    reference_codes, prediction_codes = (
        _corner_codes(label_grid.voxels, label_grid.table, target, voxel_grid.flat)
        for label_grid in (reference, prediction)
    )
    return (
        _surface(reference_codes, prediction_codes, voxel_grid, tolerance_mm),
        _surface(prediction_codes, reference_codes, voxel_grid, tolerance_mm),
    )


def _surface(
    surface_codes: NDArray[np.uint8],
    other_codes: NDArray[np.uint8],
    voxel_grid: VoxelGrid,
    tolerance_mm: float,
) -> Surface:
    corners = int(np.count_nonzero(surface_codes))
    if not corners or not other_codes.any():
        return unmatched_surface(surface_codes[surface_codes > 0], voxel_grid.areas)
    codes, squares = np.empty(corners, dtype=np.uint8), np.empty(corners, dtype=np.float64)
    planes, rows, _ = surface_codes.shape
    width = max(1, CHUNK_BYTES // (16 * planes * rows))
    columns = np.flatnonzero(surface_codes.any(axis=(0, 1)))
    count = 0
    for first in range(columns[0], columns[-1] + 1, width):
        last = min(first + width, columns[-1] + 1)
        steps = np.empty((2, planes, rows, last - first), dtype=np.int32)
        near = np.empty((planes, rows, last - first), dtype=np.float64)
        _along_rows(other_codes, first, voxel_grid.spacing[2], near, steps[1])
        _along_columns(near, steps, voxel_grid.spacing)
        _along_planes(near, steps, voxel_grid.spacing)
        count = _gather(surface_codes, first, near, codes, squares, count)
    return summarise(codes, squares, voxel_grid.areas, tolerance_mm)


@njit(cache=True, nogil=True)
def _corner_codes(voxels: Any, table: Any, target: int, flat: bool) -> Any:
    """The code of every corner of the grid, 0 where it is not on the target's surface."""
    depth, height, width = voxels.shape
    full = 15 if flat else 255
    codes = np.zeros((1 if flat else depth + 1, height + 1, width + 1), dtype=np.uint8)
    below, above = (
        np.zeros((height + 2, width + 2), dtype=np.uint8),
        np.zeros((height + 2, width + 2), dtype=np.uint8),
    )
    for z in range(codes.shape[0]):
        below, above = above, below
        above[:] = 0
        if flat:
            below[:] = 0
        if z < depth:
            for y in range(height):
                for x in range(width):
                    above[y + 1, x + 1] = table[voxels[z, y, x]] == target
        for y in range(height + 1):
            a, b, c, d = below[y], below[y + 1], above[y], above[y + 1]
            out = codes[z, y]
            for x in range(width + 1):
                high = (a[x] << 7) | (a[x + 1] << 6) | (b[x] << 5) | (b[x + 1] << 4)
                code = high | (c[x] << 3) | (c[x + 1] << 2) | (d[x] << 1) | d[x + 1]
                out[x] = 0 if code == full else code
    return codes


@njit(cache=True, nogil=True)
def _along_rows(sites: Any, first: int, step: float, near: Any, columns: Any) -> None:
    """Squared distance to the nearest site in the row, and how many columns away it is.

    The distance is infinite in a row without a site.
    """
    length = sites.shape[2]
    for z in range(near.shape[0]):
        if not sites[z].any():
            near[z] = np.inf
            continue
        for y in range(near.shape[1]):
            row, out, away = sites[z, y], near[z, y], columns[z, y]
            site = -(2**30)
            for x in range(first + away.size):
                if row[x]:
                    site = x
                if x >= first:
                    away[x - first] = x - site
            site = 2**30
            for x in range(length - 1, first - 1, -1):
                if row[x]:
                    site = x
                if x < first + away.size:
                    count = min(away[x - first], site - x)
                    away[x - first] = count
                    out[x - first] = np.inf if count > length else (count * step) ** 2


@njit(cache=True, nogil=True)
def _envelope(line: Any, step: float, site: Any, start: Any) -> int:
    """The parabolas value + (distance)² that are lowest somewhere, and where each begins to be.

    Returns:
        The number of these parabolas.
    """
    count = 0
    for q in range(line.size):
        if line[q] == np.inf:
            continue
        meet = -np.inf
        while count > 0:
            p = site[count - 1]
            meet = ((line[q] - line[p]) / (step * step) + q * q - p * p) / (2 * (q - p))
            if meet > start[count - 1]:
                break
            count -= 1
            meet = -np.inf
        site[count], start[count] = q, meet
        count += 1
    return count


@njit(cache=True, nogil=True)
def _along_columns(near: Any, steps: Any, spacing: Any) -> None:
    """The pass along the rows of each plane, in place.

    ``steps`` receives how many rows and columns away the site is.
    """
    rows = near.shape[1]
    line, away = np.empty(rows), np.empty(rows, dtype=np.int32)
    site, start = np.empty(rows, dtype=np.int64), np.empty(rows)
    for z in range(near.shape[0]):
        if near[z, 0, 0] == np.inf and (near[z] == np.inf).all():
            continue
        for x in range(near.shape[2]):
            for y in range(rows):
                line[y], away[y] = near[z, y, x], steps[1, z, y, x]
            count, k = _envelope(line, spacing[1], site, start), 0
            for y in range(rows if count else 0):
                while k + 1 < count and start[k + 1] < y:
                    k += 1
                p = site[k]
                steps[0, z, y, x], steps[1, z, y, x] = y - p, away[p]
                near[z, y, x] = ((y - p) * spacing[1]) ** 2 + line[p]


@njit(cache=True, nogil=True)
def _along_planes(near: Any, steps: Any, spacing: Any) -> None:
    """The pass along the planes, in place.

    Each distance is summed in the same order as in the search by corners.
    """
    planes = near.shape[0]
    line, away = np.empty(planes), np.empty((2, planes), dtype=np.int32)
    site, start = np.empty(planes, dtype=np.int64), np.empty(planes)
    for y in range(near.shape[1]):
        for x in range(near.shape[2]):
            for z in range(planes):
                line[z], away[0, z], away[1, z] = (
                    near[z, y, x],
                    steps[0, z, y, x],
                    steps[1, z, y, x],
                )
            count, k = _envelope(line, spacing[0], site, start), 0
            for z in range(planes if count else 0):
                while k + 1 < count and start[k + 1] < z:
                    k += 1
                p = site[k]
                sides = ((z - p) * spacing[0]) ** 2 + (away[0, p] * spacing[1]) ** 2
                near[z, y, x] = sides + (away[1, p] * spacing[2]) ** 2


@njit(cache=True, nogil=True)
def _gather(surface_codes: Any, first: int, near: Any, codes: Any, squares: Any, count: int) -> int:
    """Append codes and squared distances of the corners in these columns; returns the new count."""
    for z in range(near.shape[0]):
        for y in range(near.shape[1]):
            for x in range(near.shape[2]):
                code = surface_codes[z, y, first + x]
                if code:
                    codes[count], squares[count] = code, near[z, y, x]
                    count += 1
    return count
