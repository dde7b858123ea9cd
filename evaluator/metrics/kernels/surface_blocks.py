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
        starts, and the end; (blocks, 6) first and last coordinates of each block; and the number of
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
    limits = np.empty((blocks, 6), dtype=np.float64)
    for b in range(blocks):
        for axis in range(3):
            values = points[axis, starts[b] : starts[b + 1]]
            limits[b, axis], limits[b, 3 + axis] = values.min(), values.max()
    return points, numbers, starts, limits, cube_of


@njit(cache=True, nogil=True)
def _cubes(cube_of: Any, limits: Any) -> Any:
    """Where the blocks of each cube start, and the end.

    Also (cubes, 6), the first and last coordinates of each cube's content.
    """
    starts = np.empty(cube_of.size + 1, dtype=np.int64)
    count = 0
    for b in range(cube_of.size):
        if b == 0 or cube_of[b] != cube_of[b - 1]:
            starts[count] = b
            count += 1
    starts[count] = cube_of.size
    starts = starts[: count + 1]
    walls = np.empty((starts.size - 1, 6), dtype=np.float64)
    for c in range(starts.size - 1):
        for axis in range(3):
            walls[c, axis] = limits[starts[c] : starts[c + 1], axis].min()
            walls[c, 3 + axis] = limits[starts[c] : starts[c + 1], 3 + axis].max()
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
    """Squared distance to the nearest point, and its block.

    ``guess`` is a block that is likely to hold it.
    """
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
    """The blocks that can hold the nearest point of any position between ``low`` and ``high``.

    They are sorted by their ``gaps``.
    """
    points, firsts, limits, cubes, walls = tree
    nearest = 0
    for c in range(walls.shape[0]):
        cube_gaps[c] = _gap(walls[c], low, high, spacing)
        if cube_gaps[c] < cube_gaps[nearest]:
            nearest = c
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
    for c in range(walls.shape[0]):
        if cube_gaps[c] <= ceiling:
            for b in range(cubes[c], cubes[c + 1]):
                gaps[b] = _gap(limits[b], low, high, spacing)
                if gaps[b] <= ceiling:
                    chosen[count] = b
                    count += 1
    return chosen[:count][np.argsort(gaps[chosen[:count]])]


@njit(cache=True, nogil=True)
def search_far(queries: Any, far: Any, others: Any, box: Any, spacing: Any, out: Any) -> None:
    """Write the squared distances of the queries that are far to ``out``."""
    sorted_queries, numbers, starts, around, _ = _in_blocks(queries, far, box, QUERY_BITS)
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
            at = (sorted_queries[0, i], sorted_queries[1, i], sorted_queries[2, i])
            out[numbers[i]], guess = _nearest_of(
                points, firsts, limits, gaps, order, at, spacing, guess
            )
