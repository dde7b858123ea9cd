"""The distance of each corner of one surface to the nearest corner of another, exactly.

Near corners (most of them, where a prediction is good) are count in a bitset of the other surface.
Rows around the query are searched in the order of their distance, 64 columns at a time, until no
further row can be nearer. The other corners are searched in blocks
(``evaluator.metrics.kernels.surface_blocks``). Both searches give the exact minimum; only the time
depends on which is used.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.cpython.unsafe.numbers import leading_zeros as _leading_zeros
from numba.cpython.unsafe.numbers import trailing_zeros as _trailing_zeros

from evaluator.compilation import njit
from evaluator.metrics.kernels.surface_blocks import search_far

if TYPE_CHECKING:
    from numpy.typing import NDArray

# numba's types do not know that an intrinsic is called without its typing context
leading_zeros: Any = _leading_zeros
trailing_zeros: Any = _trailing_zeros

REACH_ROWS = 9
"""Near is within so many rows of the finer of the two slower axes, and within 32 columns."""

AFTER_FAR = 7
"""After a far corner, this many of the next corners are taken to be far without a search."""


def near_rows(spacing: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64], float]:
    """Rows around a query in order of distance.

    Returns:
        (n, 2) steps of plane and row, (n,) mm^2, and the mm^2 within which they hold all rows.
    """
    reach = REACH_ROWS * float(min(spacing[0], spacing[1]))
    reach = max(reach, min(float(max(spacing[0], spacing[1])), 3 * reach))
    planes, rows = (int(reach / step) for step in spacing[:2])
    steps = np.array(
        list(product(range(-planes, planes + 1), range(-rows, rows + 1))), dtype=np.int32
    )
    squares = (steps[:, 0] * spacing[0]) ** 2 + (steps[:, 1] * spacing[1]) ** 2
    within = squares <= reach**2
    steps, squares = steps[within], squares[within]
    order = np.argsort(squares, kind="stable")
    return (
        np.ascontiguousarray(steps[order]),
        squares[order],
        min(reach, 31 * float(spacing[2])) ** 2,
    )


@njit(cache=True, nogil=True)
def bounds(positions: Any, box: Any) -> None:
    """Widen ``box``, (2, 3) first and last plane, row and column, to hold the positions."""
    for i in range(positions.size):
        position = positions[i]
        z, y, x = position >> 42, (position >> 21) & 0x1FFFFF, position & 0x1FFFFF
        box[0, 0], box[1, 0] = min(box[0, 0], z), max(box[1, 0], z)
        box[0, 1], box[1, 1] = min(box[0, 1], y), max(box[1, 1], y)
        box[0, 2], box[1, 2] = min(box[0, 2], x), max(box[1, 2], x)


@njit(cache=True, nogil=True)
def _bitset(positions: Any, box: Any) -> Any:
    words = (box[1, 2] - box[0, 2]) // 64 + 3
    bits = np.zeros((box[1, 0] - box[0, 0] + 1, box[1, 1] - box[0, 1] + 1, words), dtype=np.uint64)
    for i in range(positions.size):
        position = positions[i]
        x = (position & 0x1FFFFF) - box[0, 2] + 64
        bits[(position >> 42) - box[0, 0], ((position >> 21) & 0x1FFFFF) - box[0, 1], x >> 6] |= (
            np.uint64(1) << np.uint64(x & 63)
        )
    return bits


@njit(cache=True, nogil=True)
def _search_near(
    queries: Any,
    bits: Any,
    box: Any,
    steps: Any,
    squares: Any,
    reach: float,
    spacing: Any,
    out: Any,
) -> Any:
    """Write the squared distances of the queries within reach.

    Returns:
        The indices of the other queries.
    """
    far = np.empty(queries.size, dtype=np.int64)
    count, skip = 0, 0
    planes, rows = np.uint64(bits.shape[0]), np.uint64(bits.shape[1])
    step_x = spacing[2]
    for i in range(queries.size):
        if skip > 0:
            skip -= 1
            far[count] = i
            count += 1
            continue
        position = queries[i]
        z, y = (position >> 42) - box[0, 0], ((position >> 21) & 0x1FFFFF) - box[0, 1]
        left = (position & 0x1FFFFF) - box[0, 2] + 32
        word, shift = left >> 6, np.uint64(left & 63)
        best = np.inf
        for k in range(squares.size):
            if squares[k] >= best:
                break
            at_z, at_y = np.uint64(z + steps[k, 0]), np.uint64(y + steps[k, 1])
            if at_z >= planes or at_y >= rows:
                continue
            row = bits[at_z, at_y]
            window = row[word] >> shift
            if shift:
                window |= row[word + 1] << (np.uint64(64) - shift)
            if window == 0:
                continue
            after, before = window >> np.uint64(32), window << np.uint64(31)
            columns = np.int64(64)
            if after:
                columns = np.int64(trailing_zeros(after))
            if before:
                columns = min(columns, np.int64(leading_zeros(before)))
            best = min(best, squares[k] + (columns * step_x) * (columns * step_x))
        if best <= reach:
            out[i] = best
        else:
            far[count] = i
            count += 1
            skip = AFTER_FAR
    return far[:count]


def nearest_squares(
    queries: NDArray[np.int64],
    others: NDArray[np.int64],
    spacing: NDArray[np.float64],
    steps: NDArray[np.int32],
    squares: NDArray[np.float64],
    reach: float,
) -> NDArray[np.float64]:
    """Squared distance of each query corner to the nearest of the others.

    Args:
        queries: positions of corners (``find_corners``), not empty.
        others: positions of corners, not empty.
        spacing: millimetres along the three axes.
        steps: this and the further arguments are the result of ``near_rows``.
        squares: see ``near_rows``.
        reach: see ``near_rows``.

    Returns:
        mm^2, of each query.
    """
    box = np.empty((2, 3), dtype=np.int64)
    box[0], box[1] = 2**62, -1
    bounds(queries, box)
    bounds(others, box)
    out = np.empty(queries.size, dtype=np.float64)
    far = _search_near(queries, _bitset(others, box), box, steps, squares, reach, spacing, out)
    if far.size > 0:
        search_far(queries, far, others, box, spacing, out)
    return out
