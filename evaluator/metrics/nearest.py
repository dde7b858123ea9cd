"""How far each corner of one surface is from the nearest corner of another, exactly.

Near corners (most of them, where a prediction is any good) are found in a bitset of the other surface: rows around the
query are looked at in the order of their distance, 64 columns at a time, until no further row can be nearer. The rest
go by blocks of 8x8x8 corners: the bounds of a whole block of queries say which blocks of the other surface can matter
to any of them. Both give the exact minimum; only the time depends on which is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import leading_zeros as _leading_zeros
from numba.cpython.unsafe.numbers import trailing_zeros as _trailing_zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray

# numba's types do not know that an intrinsic is called without its typing context
leading_zeros: Any = _leading_zeros
trailing_zeros: Any = _trailing_zeros

REACH_ROWS = 9
"""Near is what lies within so many rows of the finer of the two slower axes (and within 32 columns)."""

AFTER_FAR = 7
"""After a far corner, so many of the next are taken to be far without a look."""


def near_rows(spacing: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64], float]:
    """Rows around a query in order of distance: (n, 2) steps of plane and row, (n,) mm^2, and the mm^2 they reach."""
    reach = REACH_ROWS * float(min(spacing[0], spacing[1]))
    reach = max(reach, min(float(max(spacing[0], spacing[1])), 3 * reach))
    planes, rows = (int(reach / step) for step in spacing[:2])
    steps = np.array([(z, y) for z in range(-planes, planes + 1) for y in range(-rows, rows + 1)], dtype=np.int32)
    squares = (steps[:, 0] * spacing[0]) ** 2 + (steps[:, 1] * spacing[1]) ** 2
    kept = squares <= reach**2
    steps, squares = steps[kept], squares[kept]
    order = np.argsort(squares, kind="stable")
    return np.ascontiguousarray(steps[order]), squares[order], min(reach, 31 * float(spacing[2])) ** 2


@njit(cache=True, nogil=True)
def bounds(places: Any, box: Any) -> None:
    """Widen ``box``, (2, 3) first and last plane, row and column, to hold the places."""
    for i in range(places.size):
        place = places[i]
        z, y, x = place >> 42, (place >> 21) & 0x1FFFFF, place & 0x1FFFFF
        box[0, 0], box[1, 0] = min(box[0, 0], z), max(box[1, 0], z)
        box[0, 1], box[1, 1] = min(box[0, 1], y), max(box[1, 1], y)
        box[0, 2], box[1, 2] = min(box[0, 2], x), max(box[1, 2], x)


@njit(cache=True, nogil=True)
def _bitset(places: Any, box: Any) -> Any:
    words = (box[1, 2] - box[0, 2]) // 64 + 3
    bits = np.zeros((box[1, 0] - box[0, 0] + 1, box[1, 1] - box[0, 1] + 1, words), dtype=np.uint64)
    for i in range(places.size):
        place = places[i]
        x = (place & 0x1FFFFF) - box[0, 2] + 64
        bits[(place >> 42) - box[0, 0], ((place >> 21) & 0x1FFFFF) - box[0, 1], x >> 6] |= np.uint64(1) << np.uint64(
            x & 63
        )
    return bits


@njit(cache=True, nogil=True)
def _search_near(
    queries: Any, bits: Any, box: Any, steps: Any, squares: Any, reach: float, spacing: Any, out: Any
) -> Any:
    """Squared distances of the queries within reach; the others' indices are returned."""
    far = np.empty(queries.size, dtype=np.int64)
    found, skip = 0, 0
    planes, rows = np.uint64(bits.shape[0]), np.uint64(bits.shape[1])
    step_x = spacing[2]
    for i in range(queries.size):
        if skip > 0:
            skip -= 1
            far[found] = i
            found += 1
            continue
        place = queries[i]
        z, y = (place >> 42) - box[0, 0], ((place >> 21) & 0x1FFFFF) - box[0, 1]
        left = (place & 0x1FFFFF) - box[0, 2] + 32
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
            far[found] = i
            found += 1
            skip = AFTER_FAR
    return far[:found]


@njit(cache=True, nogil=True)
def _in_blocks(places: Any, chosen: Any, box: Any) -> Any:
    """The chosen places, sorted by blocks of 8x8x8: (n, 3) coordinates, their order, block starts and block bounds."""
    rows, columns = (box[1, 1] - box[0, 1]) // 8 + 1, (box[1, 2] - box[0, 2]) // 8 + 1
    planes = (box[1, 0] - box[0, 0]) // 8 + 1
    sizes = np.zeros(planes * rows * columns + 1, dtype=np.int64)
    block = np.empty(chosen.size, dtype=np.int64)
    for i in range(chosen.size):
        place = places[chosen[i]]
        z, y, x = (place >> 42) - box[0, 0], ((place >> 21) & 0x1FFFFF) - box[0, 1], (place & 0x1FFFFF) - box[0, 2]
        block[i] = ((z >> 3) * rows + (y >> 3)) * columns + (x >> 3)
        sizes[block[i] + 1] += 1
    blocks = np.count_nonzero(sizes)
    starts, limits = np.empty(blocks + 1, dtype=np.int64), np.empty((blocks, 6), dtype=np.int64)
    slot = 0
    for b in range(sizes.size - 1):
        if sizes[b + 1] > 0:
            starts[slot] = sizes[b]
            slot += 1
        sizes[b + 1] += sizes[b]
    starts[blocks] = chosen.size
    points, order = np.empty((chosen.size, 3), dtype=np.int64), np.empty(chosen.size, dtype=np.int64)
    for i in range(chosen.size):
        at = sizes[block[i]]
        sizes[block[i]] += 1
        place = places[chosen[i]]
        points[at, 0], points[at, 1], points[at, 2] = place >> 42, (place >> 21) & 0x1FFFFF, place & 0x1FFFFF
        order[at] = chosen[i]
    for b in range(blocks):
        for axis in range(3):
            values = points[starts[b] : starts[b + 1], axis]
            limits[b, axis], limits[b, 3 + axis] = values.min(), values.max()
    return points, order, starts, limits


@njit(cache=True, nogil=True)
def _candidates(box: Any, limits: Any, spacing: Any, lower: Any, chosen: Any) -> int:
    """Blocks that can hold the nearest corner of something in ``box``, into ``chosen``, with ``lower`` bounds in mm^2."""
    sz, sy, sx = spacing[0], spacing[1], spacing[2]
    ceiling = np.inf
    for b in range(limits.shape[0]):
        gz = max(0, limits[b, 0] - box[3], box[0] - limits[b, 3]) * sz
        gy = max(0, limits[b, 1] - box[4], box[1] - limits[b, 4]) * sy
        gx = max(0, limits[b, 2] - box[5], box[2] - limits[b, 5]) * sx
        lower[b] = gz * gz + gy * gy + gx * gx
        if lower[b] < ceiling:
            wz = max(limits[b, 3] - box[0], box[3] - limits[b, 0]) * sz
            wy = max(limits[b, 4] - box[1], box[4] - limits[b, 1]) * sy
            wx = max(limits[b, 5] - box[2], box[5] - limits[b, 2]) * sx
            ceiling = min(ceiling, wz * wz + wy * wy + wx * wx)
    kept = 0
    for b in range(limits.shape[0]):
        if lower[b] <= ceiling:
            chosen[kept] = b
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _search_far(queries: Any, far: Any, others: Any, box: Any, spacing: Any, out: Any) -> None:
    """Squared distances of the queries that are far."""
    points, order, starts, limits = _in_blocks(queries, far, box)
    targets, _, firsts, bounds_of = _in_blocks(others, np.arange(others.size), box)
    lower = np.empty(bounds_of.shape[0], dtype=np.float64)
    chosen = np.empty(bounds_of.shape[0], dtype=np.int64)
    sz, sy, sx = spacing[0], spacing[1], spacing[2]
    for block in range(limits.shape[0]):
        kept = _candidates(limits[block], bounds_of, spacing, lower, chosen)
        sorted_blocks = chosen[:kept][np.argsort(lower[chosen[:kept]])]
        last = firsts[sorted_blocks[0]]
        for i in range(starts[block], starts[block + 1]):
            z, y, x = points[i, 0], points[i, 1], points[i, 2]
            dz, dy, dx = (targets[last, 0] - z) * sz, (targets[last, 1] - y) * sy, (targets[last, 2] - x) * sx
            best = dz * dz + dy * dy + dx * dx
            for b in sorted_blocks:
                if lower[b] >= best:
                    break
                gz = max(0, bounds_of[b, 0] - z, z - bounds_of[b, 3]) * sz
                gy = max(0, bounds_of[b, 1] - y, y - bounds_of[b, 4]) * sy
                gx = max(0, bounds_of[b, 2] - x, x - bounds_of[b, 5]) * sx
                if gz * gz + gy * gy + gx * gx >= best:
                    continue
                for j in range(firsts[b], firsts[b + 1]):
                    dz, dy, dx = (targets[j, 0] - z) * sz, (targets[j, 1] - y) * sy, (targets[j, 2] - x) * sx
                    square = dz * dz + dy * dy + dx * dx
                    if square < best:
                        best = square
                        last = j
            out[order[i]] = best


@njit(cache=True, nogil=True)
def nearest_squares(queries: Any, others: Any, spacing: Any, steps: Any, squares: Any, reach: float) -> Any:
    """Squared distance in mm^2 of each query corner to the nearest of the others; neither may be empty."""
    box = np.empty((2, 3), dtype=np.int64)
    box[0], box[1] = 2**62, -1
    bounds(queries, box)
    bounds(others, box)
    out = np.empty(queries.size, dtype=np.float64)
    far = _search_near(queries, _bitset(others, box), box, steps, squares, reach, spacing, out)
    if far.size > 0:
        _search_far(queries, far, others, box, spacing, out)
    return out
