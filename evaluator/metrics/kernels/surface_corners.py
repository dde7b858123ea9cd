"""Kernels that find the surface corners of a label map, row by row.

A row is a line of voxels along the fastest axis. The first and last column of its targets are those
of ``evaluator.metrics.kernels.voxel_counts.count_targets``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluator.compilation import njit


@njit(cache=True, nogil=True)
def _grown(array: Any) -> Any:
    larger = np.empty(2 * array.size, dtype=array.dtype)
    for i in range(array.size):
        larger[i] = array[i]
    return larger


@njit(cache=True, nogil=True)
def _mark_borders(rows: Any, full: bool, marks: Any) -> None:
    """Mark the corners between the columns of four rows where not all eight voxels are equal.

    The first and the last corner are always marked.
    """
    a, b, c, d = rows
    n = a.size
    if not full:
        marks[: n + 1] = 1
        return
    marks[0] = 1
    marks[n] = 1
    a0, b0, c0, d0 = a[: n - 1], b[: n - 1], c[: n - 1], d[: n - 1]
    a1, b1, c1, d1 = a[1:], b[1:], c[1:], d[1:]
    inner = marks[1:n]
    for i in range(inner.size):
        v = a0[i]
        differ = (
            (v ^ b0[i])
            | (v ^ c0[i])
            | (v ^ d0[i])
            | (v ^ a1[i])
            | (v ^ b1[i])
            | (v ^ c1[i])
            | (v ^ d1[i])
        )
        inner[i] = differ != 0


@njit(cache=True, nogil=True)
def _list_marked(marks: Any, words: Any, last: int, columns: Any) -> int:
    """Write the marked corners up to ``last`` into ``columns``; returns how many there are."""
    marks[last + 1 : last + 9] = 0
    count = 0
    for word in range(last // 8 + 1):
        if words[word] != 0:
            for x in range(8 * word, 8 * word + 8):
                if marks[x]:
                    columns[count] = x
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _look_around(rows: Any, exist: Any, table: Any, x: int, around: Any) -> None:
    """The targets of the eight voxels about the corner before column ``x``.

    They are 0 beyond the rows and in a row that does not exist.
    """
    for k in range(2):
        column = x - 1 + k
        within = 0 <= column < rows[0].size
        at = column if within else 0
        around[k] = table[rows[0][at]] if within and exist[0] else 0
        around[2 + k] = table[rows[1][at]] if within and exist[1] else 0
        around[4 + k] = table[rows[2][at]] if within and exist[2] else 0
        around[6 + k] = table[rows[3][at]] if within and exist[3] else 0


@njit(cache=True, nogil=True)
def _take_code(around: Any, k: int) -> int:
    """The code of the k-th voxel's target, whose voxels are then removed from ``around``.

    Voxels before the k-th have been removed already.
    """
    code, target = 0, around[k]
    for m in range(k, 8):
        if around[m] == target:
            code |= 128 >> m
            around[m] = 0
    return code


@njit(cache=True, nogil=True)
def _code_at(rows: Any, table: Any, x: int) -> tuple[int, int]:
    """Code and target of the corner before column ``x`` if its voxels have at most one target.

    All four rows exist. The code is 0 where no voxel has a target, and -1 where voxels have
    several targets.
    """
    a, b, c, d = rows
    left, right = x > 0, x < a.size
    t0, t1 = table[a[x - 1]] if left else 0, table[a[x]] if right else 0
    t2, t3 = table[b[x - 1]] if left else 0, table[b[x]] if right else 0
    t4, t5 = table[c[x - 1]] if left else 0, table[c[x]] if right else 0
    t6, t7 = table[d[x - 1]] if left else 0, table[d[x]] if right else 0
    # the bits of a single target; of several they differ from at least one of them
    target = t0 | t1 | t2 | t3 | t4 | t5 | t6 | t7
    code = (t0 == target) << 7 | (t1 == target) << 6 | (t2 == target) << 5 | (t3 == target) << 4
    code |= (t4 == target) << 3 | (t5 == target) << 2 | (t6 == target) << 1 | (t7 == target)
    any_target = (t0 != 0) << 7 | (t1 != 0) << 6 | (t2 != 0) << 5 | (t3 != 0) << 4
    any_target |= (t4 != 0) << 3 | (t5 != 0) << 2 | (t6 != 0) << 1 | (t7 != 0)
    if target == 0:
        return 0, 0
    return code if code == any_target else -1, target


@njit(cache=True, nogil=True)
def _append_plane(
    voxels: Any, table: Any, limits: Any, z: int, flat: bool, start: Any, scratch: Any, out: Any
) -> tuple[int, int]:
    """Append the surface corners of a plane of the corner grid, from a row on.

    This function does not bind the arrays of ``out`` again, because Numba then counts references
    in the loop.

    Args:
        voxels: the label map.
        table: target of each label.
        limits: low and high of ``count_targets``.
        z: the plane.
        flat: whether the volume has two axes.
        start: the first row, and the number of corners that ``out`` holds.
        scratch: marks, marks as words, columns, and the targets around a corner.
        out: positions, codes and targets.

    Returns:
        The row to go on with, which is not done because ``out`` is too small for it, and the
        number of corners.
    """
    depth, height, _ = voxels.shape
    low, high = limits
    marks, words, columns, around = scratch
    positions, codes, targets = out
    row, count = start
    full = 15 if flat else 255
    z0, z1 = (0, 0) if flat else (max(z - 1, 0), min(z, depth - 1))
    below, above = not flat and z > 0, flat or z < depth
    for y in range(row, height + 1):
        y0, y1 = max(y - 1, 0), min(y, height - 1)
        first = min(low[z0, y0], low[z0, y1], low[z1, y0], low[z1, y1])
        last = max(high[z0, y0], high[z0, y1], high[z1, y0], high[z1, y1])
        if first >= last:
            continue
        a, b = voxels[z0, y0, first:last], voxels[z0, y1, first:last]
        rows = (a, b, voxels[z1, y0, first:last], voxels[z1, y1, first:last])
        exist = (below and y > 0, below and y < height, above and y > 0, above and y < height)
        inside = 0 < y < height and above and (flat or below)
        _mark_borders(rows, inside, marks)
        marked = _list_marked(marks, words, last - first, columns)
        if count + 8 * marked > positions.size:
            return y, count
        for x in columns[:marked]:
            code, target = _code_at(rows, table, x) if inside and not flat else (-1, 0)
            if code == full or code == 0:
                continue
            if code > 0:
                positions[count] = (z << 42) | (y << 21) | (first + x)
                codes[count], targets[count] = code, target
                count += 1
                continue
            _look_around(rows, exist, table, x, around)
            for k in range(8):
                target = around[k]
                code = _take_code(around, k) if target else full
                if code != full:
                    positions[count] = (z << 42) | (y << 21) | (first + x)
                    codes[count], targets[count] = code, target
                    count += 1
    return height + 1, count


@njit(cache=True, nogil=True)
def find_corners(
    voxels: Any, table: Any, low: Any, high: Any, planes: tuple[int, int], flat: bool, budget: Any
) -> Any:
    """Surface corners in planes [first, last) of the corner grid.

    The corner grid has one more corner than voxels on each axis. A flat volume has one plane of
    corners and only the lower half of each code. ``low`` and ``high`` are those of
    ``count_targets``.

    Returns positions (plane << 42 | row << 21 | column, int64), codes (uint8) and targets (int32),
    in order of position, and whether the list is complete.

    ``budget``, (1,) int64, is roughly how many more corners all slabs together may take. Threads
    count it down without waiting for each other; below 0 the search ends without corners.
    """
    _, height, width = voxels.shape
    positions, codes = np.empty(4096, dtype=np.int64), np.empty(4096, dtype=np.uint8)
    targets = np.empty(4096, dtype=np.int32)
    marks = np.zeros((width + 1 + 15) // 8 * 8, dtype=np.uint8)
    columns, around = np.empty(width + 1, dtype=np.int64), np.zeros(8, dtype=np.int32)
    scratch = (marks, marks.view(np.uint64), columns, around)
    count = 0
    for z in range(planes[0], planes[1]):
        y = 0
        while y <= height:
            start, out = (y, count), (positions, codes, targets)
            y, count = _append_plane(voxels, table, (low, high), z, flat, start, scratch, out)
            if y <= height:
                budget[0] -= positions.size
                if budget[0] < 0:
                    return positions[:0], codes[:0], targets[:0], False
                positions, codes, targets = _grown(positions), _grown(codes), _grown(targets)
    return positions[:count], codes[:count], targets[:count], True


@njit(cache=True, nogil=True)
def sort_corners(
    positions: Any, codes: Any, targets: Any, ends: Any, out_positions: Any, out_codes: Any
) -> None:
    """Append the corners of each target to its list; ``ends`` (targets + 1,) advances."""
    for i in range(positions.size):
        target = targets[i]
        at = ends[target]
        ends[target] = at + 1
        out_positions[at] = positions[i]
        out_codes[at] = codes[i]
