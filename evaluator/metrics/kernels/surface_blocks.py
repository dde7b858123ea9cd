"""The far part of the search for nearest corners: whole blocks of corners at a time.

The bounds of a block of queries say which blocks of the other surface can hold the nearest corner
of any of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluator.compilation import njit

QUERY_BITS, POINT_BITS, CUBE_BITS = 3, 2, 4
"""Queries are grouped in blocks of 8 a side, the corners to find in blocks of 4 in cubes of 16."""


@njit(cache=True, nogil=True)
def _block_of(position: int, box: Any, cubes: Any, bits: int) -> Any:
    """Number of a position's block of 2^bits corners a side.

    The blocks of a cube have consecutive numbers.
    """
    z, y, x = (
        (position >> 42) - box[0, 0],
        ((position >> 21) & 0x1FFFFF) - box[0, 1],
        (position & 0x1FFFFF) - box[0, 2],
    )
    cube = ((z >> CUBE_BITS) * cubes[1] + (y >> CUBE_BITS)) * cubes[2] + (x >> CUBE_BITS)
    fine, last = CUBE_BITS - bits, (1 << (CUBE_BITS - bits)) - 1
    within = ((((z >> bits) & last) << fine | ((y >> bits) & last)) << fine) | ((x >> bits) & last)
    return (cube << (3 * fine)) | within


@njit(cache=True, nogil=True)
def _in_blocks(positions: Any, chosen: Any, box: Any, bits: int) -> Any:
    """Sort the chosen positions by blocks.

    Returns:
        (3, n) coordinates and the numbers of the positions, both in that order; where each block
        starts, and the end; (6, blocks) first and last coordinates of each block; and the number of
        each block's cube.
    """
    cubes = ((box[1] - box[0]) >> CUBE_BITS) + 1
    sizes = np.zeros(
        (cubes[0] * cubes[1] * cubes[2] << (3 * (CUBE_BITS - bits))) + 1, dtype=np.int64
    )
    block = np.empty(chosen.size, dtype=np.int64)
    for i in range(chosen.size):
        block[i] = _block_of(positions[chosen[i]], box, cubes, bits)
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
        position = positions[chosen[i]]
        points[0, at], points[1, at], points[2, at] = (
            position >> 42,
            (position >> 21) & 0x1FFFFF,
            position & 0x1FFFFF,
        )
        numbers[at] = chosen[i]
    limits = np.empty((6, blocks), dtype=np.float64)
    for b in range(blocks):
        for axis in range(3):
            values = points[axis, starts[b] : starts[b + 1]]
            limits[axis, b], limits[3 + axis, b] = values.min(), values.max()
    return points, numbers, starts, limits, cube_of


@njit(cache=True, nogil=True)
def _cubes(cube_of: Any, limits: Any) -> Any:
    """Where the blocks of each cube start, and the end.

    Also (6, cubes), the first and last coordinates of each cube's content.
    """
    starts = np.empty(cube_of.size + 1, dtype=np.int64)
    count = 0
    for b in range(cube_of.size):
        if b == 0 or cube_of[b] != cube_of[b - 1]:
            starts[count] = b
            count += 1
    starts[count] = cube_of.size
    starts = starts[: count + 1]
    walls = np.empty((6, starts.size - 1), dtype=np.float64)
    for c in range(starts.size - 1):
        for axis in range(3):
            walls[axis, c] = limits[axis, starts[c] : starts[c + 1]].min()
            walls[3 + axis, c] = limits[3 + axis, starts[c] : starts[c + 1]].max()
    return starts, walls


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _closest(points: Any, first: int, last: int, at: Any, spacing: Any) -> float:
    """Least squared distance from a position to the points [first, last) of (3, n) coordinates.

    The two liberties taken with floats (there is no NaN, zeros have no sign) change no number; they
    let the loop process several points at a time.
    """
    (z, y, x), sz, sy, sx = at, spacing[0], spacing[1], spacing[2]
    zs, ys, xs = points[0, first:last], points[1, first:last], points[2, first:last]
    best = np.inf
    for j in range(zs.size):
        dz, dy, dx = (zs[j] - z) * sz, (ys[j] - y) * sy, (xs[j] - x) * sx
        square = dz * dz + dy * dy + dx * dx
        best = min(best, square)
    return best


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _gaps(limits: Any, first: Any, last: Any, low: Any, high: Any, spacing: Any, out: Any) -> None:
    """Squared distances between boxes [first, last) and the box from ``low`` to ``high``.

    ``limits`` is (6, boxes). The loop processes several boxes at a time, as in ``_closest``.
    """
    (z0, y0, x0), (z1, y1, x1) = low, high
    sz, sy, sx = spacing[0], spacing[1], spacing[2]
    first_z, first_y, first_x = (
        limits[0, first:last],
        limits[1, first:last],
        limits[2, first:last],
    )
    last_z, last_y, last_x = limits[3, first:last], limits[4, first:last], limits[5, first:last]
    for b in range(first_z.size):
        gz = max(0.0, max(first_z[b] - z1, z0 - last_z[b])) * sz
        gy = max(0.0, max(first_y[b] - y1, y0 - last_y[b])) * sy
        gx = max(0.0, max(first_x[b] - x1, x0 - last_x[b])) * sx
        out[b] = gz * gz + gy * gy + gx * gx


@njit(cache=True, nogil=True)
def _nearest_of(
    points: Any, firsts: Any, candidates: Any, at: Any, spacing: Any, guess: int, scratch: Any
) -> Any:
    """Squared distance to the nearest point, and its block.

    Args:
        points: (3, n), by block.
        firsts: where each block starts.
        candidates: the blocks to search, their gaps in rising order, and their (6, n) limits.
        at: the position.
        spacing: millimetres along the three axes.
        guess: a block that is likely to hold the nearest point.
        scratch: at least as many numbers as candidates.
    """
    order, gaps, limits = candidates
    best, block = _closest(points, firsts[guess], firsts[guess + 1], at, spacing), guess
    count = np.searchsorted(gaps, best)
    _gaps(limits, 0, count, at, at, spacing, scratch)
    for k in range(count):
        if scratch[k] < best:
            b = order[k]
            square = _closest(points, firsts[b], firsts[b + 1], at, spacing)
            if square < best:
                best, block = square, b
    return best, block


@njit(cache=True, nogil=True)
def _within_reach(low: Any, high: Any, tree: Any, spacing: Any, guess: int, scratch: Any) -> Any:
    """The blocks that can hold the nearest point of any position between ``low`` and ``high``.

    Returns:
        Their numbers and gaps to this box, both in order of the gaps, and their (6, n) limits.
    """
    points, firsts, limits, cubes, walls = tree
    cube_gaps, gaps, chosen = scratch
    _gaps(walls, 0, walls.shape[1], low, high, spacing, cube_gaps)
    nearest = np.argmin(cube_gaps)
    # the point nearest to the middle is at most half the diagonal farther from any other position
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
    count = 0
    for c in range(cube_gaps.size):
        if cube_gaps[c] <= ceiling:
            first, last = cubes[c], cubes[c + 1]
            of_cube = gaps[count : count + last - first]
            _gaps(limits, first, last, low, high, spacing, of_cube)
            for b in range(first, last):
                gap = of_cube[b - first]
                chosen[count], gaps[count] = b, gap
                count += gap <= ceiling
    order = np.argsort(gaps[:count])
    blocks, near_limits = chosen[order], np.empty((6, count), dtype=np.float64)
    for side in range(6):
        for k in range(count):
            near_limits[side, k] = limits[side, blocks[k]]
    return blocks, gaps[order], near_limits


@njit(cache=True, nogil=True)
def search_far(queries: Any, far: Any, others: Any, box: Any, spacing: Any, out: Any) -> None:
    """Write the squared distances of the queries that are far to ``out``."""
    sorted_queries, numbers, starts, around, _ = _in_blocks(queries, far, box, QUERY_BITS)
    points, _, firsts, limits, cube_of = _in_blocks(others, np.arange(others.size), box, POINT_BITS)
    cubes, walls = _cubes(cube_of, limits)
    tree = (points, firsts, limits, cubes, walls)
    blocks = limits.shape[1]
    scratch = (np.empty(walls.shape[1]), np.empty(blocks + 1), np.empty(blocks + 1, dtype=np.int64))
    guess = 0
    for block in range(around.shape[1]):
        low = (around[0, block], around[1, block], around[2, block])
        high = (around[3, block], around[4, block], around[5, block])
        candidates = _within_reach(low, high, tree, spacing, guess, scratch)
        for i in range(starts[block], starts[block + 1]):
            at = (sorted_queries[0, i], sorted_queries[1, i], sorted_queries[2, i])
            out[numbers[i]], guess = _nearest_of(
                points, firsts, candidates, at, spacing, guess, scratch[1]
            )
