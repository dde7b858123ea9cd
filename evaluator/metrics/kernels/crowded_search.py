"""Nearest corners of a surface that is crowded near every corner of the other one, as noise is.

Each corner finds the nearest one within a few rows, so the distances are few and are counted
instead of listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba.cpython.unsafe.numbers import leading_zeros as _leading_zeros
from numba.cpython.unsafe.numbers import trailing_zeros as _trailing_zeros

from evaluator.compilation import njit
from evaluator.metrics.kernels.mask_bits import (
    FIRST_BIT,
    code_at,
    rows_around,
    surface_word,
    voxels_around,
)
from evaluator.metrics.kernels.surface_distance import near_rows
from evaluator.metrics.kernels.surface_statistics import surface_of_sums, total_area

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.metrics.kernels.surface_statistics import Surface

# numba's types do not know that an intrinsic is called without its typing context
leading_zeros: Any = _leading_zeros
trailing_zeros: Any = _trailing_zeros

MOST_ROWS = 128
"""Rows around a corner that are searched."""

MOST_COLUMNS = 32
"""Columns on either side of a corner that are searched."""


def crowded_surface(
    mask: NDArray[np.uint64],
    surface: NDArray[np.uint64],
    spacing: NDArray[np.float64],
    areas: NDArray[np.float64],
    tolerance_mm: float,
    *,
    flat: bool,
) -> Surface | None:
    """A mask's surface with its distances to another surface, if that is near everywhere.

    Args:
        mask: (planes, rows, words) bits of voxels (``fill_mask_bits``).
        surface: bits of the other surface's corners (``fill_surface_bits``).
        spacing: millimetres along the three axes.
        areas: surface of each code.
        tolerance_mm: of the normalised surface distance.
        flat: whether the volume has two axes.

    Returns:
        None if a corner is farther from the other surface than the rows that are searched.
    """
    steps, squares, reach = near_rows(spacing)
    if squares.size > MOST_ROWS:
        reach = min(reach, float(squares[MOST_ROWS]))
        steps, squares = steps[:MOST_ROWS], squares[:MOST_ROWS]
    counts = np.zeros((squares.size, MOST_COLUMNS, areas.size), dtype=np.int64)
    if not _count_near(mask, surface, steps, squares, reach, spacing[2], flat, counts):
        return None
    columns_mm = np.arange(MOST_COLUMNS) * spacing[2]
    distances = squares[:, None] + columns_mm * columns_mm
    used = np.argwhere(counts.any(axis=2))
    sums = [total_area(counts[row, column], areas) for row, column in used]
    return surface_of_sums(
        distances[used[:, 0], used[:, 1]],
        np.array(sums),
        np.zeros(len(sums)),
        corners=int(counts.sum()),
        tolerance_mm=tolerance_mm,
    )


@njit(cache=True, nogil=True)
def _count_near(
    mask: Any,
    surface: Any,
    steps: Any,
    squares: Any,
    reach: float,
    step_x: float,
    flat: bool,
    counts: Any,
) -> bool:
    """Count the corners by rows and columns to the nearest corner of ``surface``, and by code.

    Returns:
        False if a corner has none within reach; the counts are then incomplete.
    """
    empty = np.zeros(mask.shape[2], dtype=np.uint64)
    for z in range(surface.shape[0]):
        for y in range(surface.shape[1]):
            rows = rows_around(mask, empty, z, y, flat)
            for word in range(1, empty.size):
                voxels = voxels_around(rows, word)
                corners = surface_word(voxels, flat)
                equal = corners & surface[z, y, word]
                corners &= ~equal
                while equal:
                    counts[0, 0, code_at(voxels, np.uint64(trailing_zeros(equal)))] += 1
                    equal &= equal - np.uint64(1)
                while corners:
                    bit = np.uint64(trailing_zeros(corners))
                    corners &= corners - np.uint64(1)
                    code = code_at(voxels, bit)
                    x = 64 * word + np.int64(bit) - FIRST_BIT
                    row, columns = _nearest_row(surface, z, y, x, steps, squares, reach, step_x)
                    if row < 0:
                        return False
                    counts[row, columns, code] += 1
    return True


@njit(cache=True, nogil=True)
def _nearest_row(
    surface: Any, z: int, y: int, x: Any, steps: Any, squares: Any, reach: float, step_x: float
) -> tuple[int, int]:
    """The row that holds the nearest corner, and its columns away; row -1 if none is in reach."""
    planes, rows = np.uint64(surface.shape[0]), np.uint64(surface.shape[1])
    left = x + FIRST_BIT - MOST_COLUMNS
    word, shift = np.uint64(left >> 6), np.uint64(left & 63)
    best, best_row = np.inf, -1
    best_columns: Any = 0
    for k in range(squares.size):
        if squares[k] >= best:
            break
        at_z, at_y = np.uint64(z + steps[k, 0]), np.uint64(y + steps[k, 1])
        if at_z >= planes or at_y >= rows:
            continue
        window = surface[at_z, at_y, word] >> shift
        if shift:
            window |= surface[at_z, at_y, word + np.uint64(1)] << (np.uint64(64) - shift)
        if window == 0:
            continue
        after, before = window >> np.uint64(32), window << np.uint64(31)
        columns: Any = np.int64(64)
        if after:
            columns = np.int64(trailing_zeros(after))
        if before:
            columns = min(columns, np.int64(leading_zeros(before)))
        square = squares[k] + (columns * step_x) * (columns * step_x)
        if square < best:
            best, best_row, best_columns = square, k, columns
    if best > reach or best_columns >= MOST_COLUMNS:
        return -1, 0
    return best_row, best_columns
