"""Surfaces that fill the volume: noise has a corner at nearly every voxel.

Lists of such corners would take gigabytes, so one target is measured at a time, from bits of its
masks. Where the other surface is near every corner, a search of a few rows finds it
(``evaluator.metrics.kernels.crowded_search``). Elsewhere the exact distance transform of the other
surface is made, axis by axis by the lower envelope of parabolas (Felzenszwalb and Huttenlocher,
Theory of Computing 2012;8:415), some columns of the grid at a time. The numbers equal those of the
search by corners. Memory is half a byte a voxel, and ``CHUNK_BYTES``, whatever the masks are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit
from evaluator.metrics.kernels.crowded_search import crowded_surface, trailing_zeros
from evaluator.metrics.kernels.mask_bits import (
    FIRST_BIT,
    code_at,
    fill_mask_bits,
    fill_surface_bits,
    rows_around,
    surface_word,
    voxels_around,
    words_of,
)
from evaluator.metrics.kernels.surface_statistics import (
    AreaByDistance,
    Surface,
    unmatched_surface,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid, VoxelGrid

CHUNK_BYTES = 2**25
"""Memory for the distances of the columns that are processed at once."""


def dense_surfaces(
    reference: LabelGrid,
    prediction: LabelGrid,
    target: int,
    voxel_grid: VoxelGrid,
    tolerance_mm: float,
) -> tuple[Surface, Surface]:
    """Both surfaces of a target that has the same number in both maps."""
    in_reference, in_prediction = _mask_bits(reference, target), _mask_bits(prediction, target)
    columns = reference.voxels.shape[2] + 1
    return (
        _surface(in_reference, in_prediction, columns, voxel_grid, tolerance_mm),
        _surface(in_prediction, in_reference, columns, voxel_grid, tolerance_mm),
    )


def _mask_bits(label_grid: LabelGrid, target: int) -> NDArray[np.uint64]:
    planes, rows, columns = label_grid.voxels.shape
    bits = np.zeros((planes, rows, words_of(columns)), dtype=np.uint64)
    fill_mask_bits(label_grid.voxels, label_grid.table, target, bits)
    return bits


def _surface(
    mask: NDArray[np.uint64],
    mask_of_sites: NDArray[np.uint64],
    columns: int,
    voxel_grid: VoxelGrid,
    tolerance_mm: float,
) -> Surface:
    """The surface of a mask with its distances to the surface of another mask, its sites."""
    flat = voxel_grid.flat
    planes, rows, words = mask.shape
    sites = np.zeros((1 if flat else planes + 1, rows + 1, words), dtype=np.uint64)
    fill_surface_bits(mask_of_sites, flat, sites)
    if not mask.any() or not sites.any():
        return unmatched_surface(_count_codes(mask, flat, voxel_grid.areas.size), voxel_grid.areas)
    surface = crowded_surface(
        mask, sites, voxel_grid.spacing, voxel_grid.areas, tolerance_mm, flat=flat
    )
    if surface is not None:
        return surface
    return _transformed_surface(mask, sites, columns, voxel_grid).surface(tolerance_mm)


def _transformed_surface(
    mask: NDArray[np.uint64], sites: NDArray[np.uint64], columns: int, voxel_grid: VoxelGrid
) -> AreaByDistance:
    """The area of a mask's surface by distance, from the distance transform of the sites.

    ``columns`` is the number of columns of the corner grid.
    """
    planes, rows, _ = sites.shape
    with_sites = np.flatnonzero(sites.any(axis=(1, 2)))
    first_plane, last_plane = int(with_sites[0]), int(with_sites[-1]) + 1
    depth = last_plane - first_plane
    width = min(columns, max(1, CHUNK_BYTES // (16 * rows * depth)))
    corner_codes, squares = np.empty(planes * width, np.uint8), np.empty(planes * width)
    result = AreaByDistance(voxel_grid.areas)
    for first in range(0, columns, width):
        count = min(width, columns - first)
        near = np.empty((rows, depth, count), dtype=np.float64)
        steps = np.empty((2, rows, depth, count), dtype=np.int32)
        _along_rows(
            sites[first_plane:last_plane], columns, first, voxel_grid.spacing[2], near, steps[1]
        )
        _along_columns(near, steps, voxel_grid.spacing)
        codes = np.empty((planes, count), dtype=np.uint8)
        for row in range(rows):
            _fill_codes(mask, voxel_grid.flat, row, first, codes)
            corners = _along_planes(
                near[row],
                steps[:, row],
                voxel_grid.spacing,
                first_plane,
                codes,
                corner_codes,
                squares,
            )
            result.add(corner_codes[:corners], squares[:corners])
    return result


@njit(cache=True, nogil=True)
def _count_codes(mask: Any, flat: bool, codes: int) -> Any:
    """The surface corners of each code."""
    counts = np.zeros(codes, dtype=np.int64)
    empty = np.zeros(mask.shape[2], dtype=np.uint64)
    for z in range(1 if flat else mask.shape[0] + 1):
        for y in range(mask.shape[1] + 1):
            rows = rows_around(mask, empty, z, y, flat)
            for word in range(1, empty.size):
                voxels = voxels_around(rows, word)
                corners = surface_word(voxels, flat)
                while corners:
                    counts[code_at(voxels, np.uint64(trailing_zeros(corners)))] += 1
                    corners &= corners - np.uint64(1)
    return counts


@njit(cache=True, nogil=True)
def _fill_codes(mask: Any, flat: bool, y: int, first: int, codes: Any) -> None:
    """Write the codes of the corners of a row in every plane, 0 where there is no surface.

    ``codes`` is (planes, columns) of the corner grid, columns from ``first`` on.
    """
    empty = np.zeros(mask.shape[2], dtype=np.uint64)
    start = first + FIRST_BIT
    end = start + codes.shape[1]
    codes[:] = 0
    for z in range(codes.shape[0]):
        rows = rows_around(mask, empty, z, y, flat)
        for word in range(start // 64, (end - 1) // 64 + 1):
            voxels = voxels_around(rows, word)
            corners = surface_word(voxels, flat) & _columns_of_word(word, start, end)
            while corners:
                bit = np.uint64(trailing_zeros(corners))
                corners &= corners - np.uint64(1)
                codes[z, 64 * word + np.int64(bit) - start] = code_at(voxels, bit)


@njit(cache=True, nogil=True)
def _columns_of_word(word: int, start: int, end: int) -> Any:
    """The bits of a word that belong to the bits [start, end) of a row."""
    every = ~np.uint64(0)
    below, above = max(start - 64 * word, 0), max(64 * word + 64 - end, 0)
    return (every << np.uint64(below)) & (every >> np.uint64(above))


@njit(cache=True, nogil=True)
def _along_rows(sites: Any, length: int, first: int, step: float, near: Any, columns: Any) -> None:
    """Squared distance to the nearest site in the row, and how many columns away it is.

    The distance is infinite in a row without a site. ``sites`` are (planes, rows, words) bits;
    ``near`` and ``columns`` are (rows, planes, columns), columns from ``first`` on.
    """
    one = np.uint64(1)
    for y in range(near.shape[0]):
        for z in range(near.shape[1]):
            row, out, away = sites[z, y], near[y, z], columns[y, z]
            before, after = _site_before(row, first), _site_after(row, first + away.size - 1)
            for k in range(away.size):
                bit = first + k + FIRST_BIT
                if (row[bit >> 6] >> np.uint64(bit & 63)) & one:
                    before = first + k
                away[k] = first + k - before
            for k in range(away.size - 1, -1, -1):
                if away[k] == 0:
                    after = first + k
                count: Any = min(np.int64(away[k]), after - first - k)
                away[k] = count
                out[k] = np.inf if count > length else (count * step) ** 2


@njit(cache=True, nogil=True)
def _site_before(row: Any, column: int) -> int:
    """The last column before this one that has a site; far below 0 if there is none."""
    bit = column + FIRST_BIT - 1
    while bit >= FIRST_BIT:
        if row[bit >> 6] == 0:
            bit = (bit >> 6) * 64 - 1
            continue
        if (row[bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1):
            return bit - FIRST_BIT
        bit -= 1
    return -(2**30)


@njit(cache=True, nogil=True)
def _site_after(row: Any, column: int) -> int:
    """The first column after this one that has a site; far beyond the row if there is none."""
    bit = column + FIRST_BIT + 1
    while bit < 64 * row.size:
        if row[bit >> 6] == 0:
            bit = (bit >> 6) * 64 + 64
            continue
        if (row[bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1):
            return bit - FIRST_BIT
        bit += 1
    return 2**30


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
    rows = near.shape[0]
    line, away = np.empty(rows), np.empty(rows, dtype=np.int32)
    site, start = np.empty(rows, dtype=np.int64), np.empty(rows)
    for z in range(near.shape[1]):
        for x in range(near.shape[2]):
            for y in range(rows):
                line[y], away[y] = near[y, z, x], steps[1, y, z, x]
            count, k = _envelope(line, spacing[1], site, start), 0
            for y in range(rows if count else 0):
                while k + 1 < count and start[k + 1] < y:
                    k += 1
                p = site[k]
                steps[0, y, z, x], steps[1, y, z, x] = y - p, away[p]
                near[y, z, x] = ((y - p) * spacing[1]) ** 2 + line[p]


@njit(cache=True, nogil=True)
def _along_planes(
    near: Any, steps: Any, spacing: Any, first: int, codes: Any, out_codes: Any, out_squares: Any
) -> int:
    """The pass along the planes, for the surface corners of one row in every plane.

    Each distance is summed in the same order as in the search by corners. ``near`` and ``steps``
    have the planes from ``first`` on, ``codes`` has all planes.

    Returns:
        The number of corners, whose codes and squared distances are written.
    """
    planes = near.shape[0]
    line = np.empty(planes)
    site, start = np.empty(planes, dtype=np.int64), np.empty(planes)
    corner = 0
    for x in range(near.shape[1]):
        for z in range(planes):
            line[z] = near[z, x]
        count, k = _envelope(line, spacing[0], site, start), 0
        for z in range(codes.shape[0]):
            code = codes[z, x]
            if code == 0:
                continue
            while k + 1 < count and start[k + 1] < z - first:
                k += 1
            p = site[k]
            above = (z - first - p) * spacing[0]
            beside = steps[0, p, x] * spacing[1]
            along = steps[1, p, x] * spacing[2]
            out_codes[corner] = code
            out_squares[corner] = (above * above + beside * beside) + along * along
            corner += 1
    return corner
