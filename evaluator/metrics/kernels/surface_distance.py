"""How far each corner of one surface is from the nearest corner of another, exactly.

Near corners (most of them, where a prediction is any good) are found in a bitset of the other surface: rows around the
query are looked at in the order of their distance, 64 columns at a time, until no further row can be nearer. The rest
go by blocks: the bounds of a whole block of queries say which blocks of the other surface can matter to any of them. Both give the exact minimum; only the time depends on which is taken.
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

QUERY_BITS, POINT_BITS, CUBE_BITS = 3, 2, 4
"""Far corners go by blocks of 8 a side, those that they look for by blocks of 4 in cubes of 16."""

AFTER_FAR = 7
"""After a far corner, so many of the next are taken to be far without a look."""


def near_rows(spacing: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64], float]:
    """Rows around a query in order of distance: (n, 2) steps of plane and row, (n,) mm^2, and the mm^2 they reach."""
    reach = REACH_ROWS * float(min(spacing[0], spacing[1]))
    reach = max(reach, min(float(max(spacing[0], spacing[1])), 3 * reach))
    planes, rows = (int(reach / step) for step in spacing[:2])
    steps = np.array(
        [(z, y) for z in range(-planes, planes + 1) for y in range(-rows, rows + 1)], dtype=np.int32
    )
    squares = (steps[:, 0] * spacing[0]) ** 2 + (steps[:, 1] * spacing[1]) ** 2
    kept = squares <= reach**2
    steps, squares = steps[kept], squares[kept]
    order = np.argsort(squares, kind="stable")
    return (
        np.ascontiguousarray(steps[order]),
        squares[order],
        min(reach, 31 * float(spacing[2])) ** 2,
    )


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
        bits[(place >> 42) - box[0, 0], ((place >> 21) & 0x1FFFFF) - box[0, 1], x >> 6] |= (
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
def _block_of(place: int, box: Any, cubes: Any, bits: int) -> Any:
    """Number of a place's block of 2^bits corners a side, such that the blocks of one cube follow each other."""
    z, y, x = (
        (place >> 42) - box[0, 0],
        ((place >> 21) & 0x1FFFFF) - box[0, 1],
        (place & 0x1FFFFF) - box[0, 2],
    )
    cube = ((z >> CUBE_BITS) * cubes[1] + (y >> CUBE_BITS)) * cubes[2] + (x >> CUBE_BITS)
    fine, last = CUBE_BITS - bits, (1 << (CUBE_BITS - bits)) - 1
    within = ((((z >> bits) & last) << fine | ((y >> bits) & last)) << fine) | ((x >> bits) & last)
    return (cube << (3 * fine)) | within


@njit(cache=True, nogil=True)
def _in_blocks(places: Any, chosen: Any, box: Any, bits: int) -> Any:
    """The chosen places sorted by blocks.

    Returns (3, n) coordinates and the places' numbers, both in that order; where each block starts, and the end;
    (blocks, 6) first and last coordinates of each block; and the number of each block's cube.
    """
    cubes = ((box[1] - box[0]) >> CUBE_BITS) + 1
    sizes = np.zeros(
        (cubes[0] * cubes[1] * cubes[2] << (3 * (CUBE_BITS - bits))) + 1, dtype=np.int64
    )
    block = np.empty(chosen.size, dtype=np.int64)
    for i in range(chosen.size):
        block[i] = _block_of(places[chosen[i]], box, cubes, bits)
        sizes[block[i] + 1] += 1
    blocks = np.count_nonzero(sizes)
    starts, cube_of = np.empty(blocks + 1, dtype=np.int64), np.empty(blocks, dtype=np.int64)
    slot = 0
    for b in range(sizes.size - 1):
        if sizes[b + 1] > 0:
            starts[slot], cube_of[slot] = sizes[b], b >> (3 * (CUBE_BITS - bits))
            slot += 1
        sizes[b + 1] += sizes[b]
    starts[blocks] = chosen.size
    points, numbers = (
        np.empty((3, chosen.size), dtype=np.float64),
        np.empty(chosen.size, dtype=np.int64),
    )
    for i in range(chosen.size):
        at = sizes[block[i]]
        sizes[block[i]] += 1
        place = places[chosen[i]]
        points[0, at], points[1, at], points[2, at] = (
            place >> 42,
            (place >> 21) & 0x1FFFFF,
            place & 0x1FFFFF,
        )
        numbers[at] = chosen[i]
    limits = np.empty((blocks, 6), dtype=np.float64)
    for b in range(blocks):
        for axis in range(3):
            values = points[axis, starts[b] : starts[b + 1]]
            limits[b, axis], limits[b, 3 + axis] = values.min(), values.max()
    return points, numbers, starts, limits, cube_of


@njit(cache=True, nogil=True)
def _cubes(cube_of: Any, limits: Any) -> Any:
    """Where the blocks of each cube start, and the end; (cubes, 6) first and last coordinates of what is in each."""
    starts = np.empty(cube_of.size + 1, dtype=np.int64)
    found = 0
    for b in range(cube_of.size):
        if b == 0 or cube_of[b] != cube_of[b - 1]:
            starts[found] = b
            found += 1
    starts[found] = cube_of.size
    starts = starts[: found + 1]
    walls = np.empty((starts.size - 1, 6), dtype=np.float64)
    for c in range(starts.size - 1):
        for axis in range(3):
            walls[c, axis] = limits[starts[c] : starts[c + 1], axis].min()
            walls[c, 3 + axis] = limits[starts[c] : starts[c + 1], 3 + axis].max()
    return starts, walls


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _closest(points: Any, first: int, last: int, at: Any, spacing: Any) -> float:
    """Least squared distance from a place to the points [first, last) of (3, n) coordinates.

    The two liberties taken with floats (there is no NaN, zeros have no sign) change no number; they let the loop run
    over several points at a time.
    """
    (z, y, x), sz, sy, sx = at, spacing[0], spacing[1], spacing[2]
    zs, ys, xs = points[0, first:last], points[1, first:last], points[2, first:last]
    best = np.inf
    for j in range(zs.size):
        dz, dy, dx = (zs[j] - z) * sz, (ys[j] - y) * sy, (xs[j] - x) * sx
        square = dz * dz + dy * dy + dx * dx
        best = min(best, square)
    return best


@njit(cache=True, nogil=True)
def _gap(limits: Any, low: Any, high: Any, spacing: Any) -> Any:
    """Squared distance between the box of a block and the box from ``low`` to ``high``."""
    gz = max(0.0, limits[0] - high[0], low[0] - limits[3]) * spacing[0]
    gy = max(0.0, limits[1] - high[1], low[1] - limits[4]) * spacing[1]
    gx = max(0.0, limits[2] - high[2], low[2] - limits[5]) * spacing[2]
    return gz * gz + gy * gy + gx * gx


@njit(cache=True, nogil=True)
def _nearest_of(
    points: Any, firsts: Any, limits: Any, gaps: Any, order: Any, at: Any, spacing: Any, guess: int
) -> Any:
    """Squared distance to the nearest point, and its block. ``guess`` is a block that is likely to hold it."""
    best, block = _closest(points, firsts[guess], firsts[guess + 1], at, spacing), guess
    for b in order:
        if gaps[b] >= best:
            break
        if b != guess and _gap(limits[b], at, at, spacing) < best:
            square = _closest(points, firsts[b], firsts[b + 1], at, spacing)
            if square < best:
                best, block = square, b
    return best, block


@njit(cache=True, nogil=True)
def _within_reach(
    low: Any, high: Any, tree: Any, spacing: Any, guess: int, cube_gaps: Any, gaps: Any, chosen: Any
) -> Any:
    """The blocks that can hold the nearest point of any place between ``low`` and ``high``, by their ``gaps``."""
    points, firsts, limits, cubes, walls = tree
    nearest = 0
    for c in range(walls.shape[0]):
        cube_gaps[c] = _gap(walls[c], low, high, spacing)
        if cube_gaps[c] < cube_gaps[nearest]:
            nearest = c
    # what is nearest to the middle is no farther from any place than half the diagonal more
    middle = ((low[0] + high[0]) // 2, (low[1] + high[1]) // 2, (low[2] + high[2]) // 2)
    first, last = firsts[cubes[nearest]], firsts[cubes[nearest + 1]]
    ceiling = min(
        _closest(points, first, last, middle, spacing),
        _closest(points, firsts[guess], firsts[guess + 1], middle, spacing),
    )
    diagonal = 0.0
    for axis in range(3):
        diagonal += ((high[axis] - middle[axis]) * spacing[axis]) ** 2
    ceiling = (np.sqrt(ceiling) + np.sqrt(diagonal)) ** 2 * (1 + 1e-9)
    kept = 0
    for c in range(walls.shape[0]):
        if cube_gaps[c] <= ceiling:
            for b in range(cubes[c], cubes[c + 1]):
                gaps[b] = _gap(limits[b], low, high, spacing)
                if gaps[b] <= ceiling:
                    chosen[kept] = b
                    kept += 1
    return chosen[:kept][np.argsort(gaps[chosen[:kept]])]


@njit(cache=True, nogil=True)
def _search_far(queries: Any, far: Any, others: Any, box: Any, spacing: Any, out: Any) -> None:
    """Squared distances of the queries that are far."""
    asked, numbers, starts, around, _ = _in_blocks(queries, far, box, QUERY_BITS)
    points, _, firsts, limits, cube_of = _in_blocks(others, np.arange(others.size), box, POINT_BITS)
    cubes, walls = _cubes(cube_of, limits)
    tree = (points, firsts, limits, cubes, walls)
    gaps, cube_gaps = (
        np.empty(limits.shape[0], dtype=np.float64),
        np.empty(walls.shape[0], dtype=np.float64),
    )
    chosen = np.empty(limits.shape[0], dtype=np.int64)
    guess = 0
    for block in range(around.shape[0]):
        low = (around[block, 0], around[block, 1], around[block, 2])
        high = (around[block, 3], around[block, 4], around[block, 5])
        order = _within_reach(low, high, tree, spacing, guess, cube_gaps, gaps, chosen)
        for i in range(starts[block], starts[block + 1]):
            at = (asked[0, i], asked[1, i], asked[2, i])
            out[numbers[i]], guess = _nearest_of(
                points, firsts, limits, gaps, order, at, spacing, guess
            )


@njit(cache=True, nogil=True)
def nearest_squares(
    queries: Any, others: Any, spacing: Any, steps: Any, squares: Any, reach: float
) -> Any:
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
