"""Kernels that read complete volumes: voxel counts, shared voxels, surface corners.

A row is a line of voxels along the fastest axis. Runs of equal voxels are processed as row_a. The
first and last column of a row's targets are stored, so later passes read only these columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

CHUNK = 32
"""Voxels that are compared with the current run at once."""


@njit(cache=True, nogil=True)
def present_labels(voxels: Any, most: int) -> Any:
    """The values in a line of voxels, in no order; at most row_a more than ``most``."""
    seen = {np.int64(0)}
    if voxels.size == 0:
        return np.array(list(seen))
    before = voxels[0]
    seen.add(np.int64(before))
    for start in range(0, voxels.size, CHUNK):
        chunk = voxels[start : start + CHUNK]
        differ = before ^ before
        for j in range(chunk.size):
            differ |= chunk[j] ^ before
        if differ != 0:
            for value in chunk:
                if value != before:
                    before = value
                    seen.add(np.int64(value))
            if len(seen) > most:
                break
    return np.array(list(seen))


@njit(cache=True, nogil=True)
def count_targets(voxels: Any, table: Any, planes: tuple[int, int], low: Any, high: Any) -> Any:
    """Voxels of each target in planes [first, last): (targets + 1,) int64.

    Fills ``low`` and ``high``, (planes, rows) int32: the columns [low, high) in which the row's
    targets lie.
    """
    columns = voxels.shape[2]
    counts = np.zeros(table.max() + 1, dtype=np.int64)
    for z in range(planes[0], planes[1]):
        for y in range(voxels.shape[1]):
            row = voxels[z, y]
            first, last = columns, 0
            start, i, value = 0, 0, row[0]
            while i < columns:
                end = min(i + CHUNK, columns)
                chunk = row[i:end]
                differ = value ^ value
                for j in range(chunk.size):
                    differ |= chunk[j] ^ value
                if differ != 0:
                    for j in range(i, end):
                        if row[j] != value:
                            target = table[value]
                            if target:
                                counts[target] += j - start
                                first, last = min(first, start), j
                            value = row[j]
                            start = j
                i = end
            target = table[value]
            if target:
                counts[target] += columns - start
                first, last = min(first, start), columns
            low[z, y] = first
            high[z, y] = last
    return counts


@njit(cache=True, nogil=True)
def count_shared(
    a: Any, a_table: Any, a_rows: Any, b: Any, b_table: Any, b_rows: Any, planes: tuple[int, int]
) -> Any:
    """Voxels that have the same target in both maps, of each target: (targets + 1,) int64.

    ``a_rows`` and ``b_rows`` are the maps' (low, high) of ``count_targets``.
    """
    counts = np.zeros(max(a_table.max(), b_table.max()) + 1, dtype=np.int64)
    for z in range(planes[0], planes[1]):
        for y in range(a.shape[1]):
            start = max(a_rows[0][z, y], b_rows[0][z, y])
            stop = min(a_rows[1][z, y], b_rows[1][z, y])
            if start >= stop:
                continue
            row_a, row_b = a[z, y, start:stop], b[z, y, start:stop]
            start, i, p, q = 0, 0, row_a[0], row_b[0]
            while i < row_a.size:
                end = min(i + CHUNK, row_a.size)
                chunk_a, chunk_b = row_a[i:end], row_b[i:end]
                differ, differ_b = p ^ p, q ^ q
                for j in range(chunk_a.size):
                    differ |= chunk_a[j] ^ p
                    differ_b |= chunk_b[j] ^ q
                if differ != 0 or differ_b != 0:
                    for j in range(i, end):
                        if row_a[j] != p or row_b[j] != q:
                            if a_table[p] == b_table[q]:
                                counts[a_table[p]] += j - start
                            p, q, start = row_a[j], row_b[j], j
                i = end
            if a_table[p] == b_table[q]:
                counts[a_table[p]] += row_a.size - start
    return counts


@njit(cache=True, nogil=True)
def _grown(array: Any) -> Any:
    larger = np.empty(2 * array.size, dtype=array.dtype)
    for i in range(array.size):
        larger[i] = array[i]
    return larger


@njit(cache=True, nogil=True)
def _mark_borders(rows: Any, full: bool, marks: Any) -> None:
    """Mark the corners between the columns of four rows where not all eight voxels are equal.

    The row_b corners at the ends are always marked.
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
    depth, height, width = voxels.shape
    positions, codes = np.empty(4096, dtype=np.int64), np.empty(4096, dtype=np.uint8)
    targets = np.empty(4096, dtype=np.int32)
    marks = np.zeros((width + 1 + 15) // 8 * 8, dtype=np.uint8)
    words = marks.view(np.uint64)
    columns, around = np.empty(width + 1, dtype=np.int64), np.zeros(8, dtype=np.int32)
    count, full = 0, 15 if flat else 255
    for z in range(planes[0], planes[1]):
        z0, z1 = (0, 0) if flat else (max(z - 1, 0), min(z, depth - 1))
        below, above = not flat and z > 0, flat or z < depth
        for y in range(height + 1):
            y0, y1 = max(y - 1, 0), min(y, height - 1)
            first = min(low[z0, y0], low[z0, y1], low[z1, y0], low[z1, y1])
            last = max(high[z0, y0], high[z0, y1], high[z1, y0], high[z1, y1])
            if first >= last:
                continue
            a, b = voxels[z0, y0, first:last], voxels[z0, y1, first:last]
            rows = (a, b, voxels[z1, y0, first:last], voxels[z1, y1, first:last])
            exist = (below and y > 0, below and y < height, above and y > 0, above and y < height)
            n = last - first
            _mark_borders(rows, (flat or below) and above and 0 < y < height, marks)
            for x in columns[: _list_marked(marks, words, n, columns)]:
                _look_around(rows, exist, table, x, around)
                for k in range(8):
                    target = around[k]
                    code = _take_code(around, k) if target else full
                    if code == full:
                        continue
                    if count == positions.size:
                        budget[0] -= count
                        if budget[0] < 0:
                            return positions[:0], codes[:0], targets[:0], False
                        positions, codes, targets = (
                            _grown(positions),
                            _grown(codes),
                            _grown(targets),
                        )
                    positions[count] = (z << 42) | (y << 21) | (first + x)
                    codes[count] = code
                    targets[count] = target
                    count += 1
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
