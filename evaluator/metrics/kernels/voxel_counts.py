"""Kernels that read complete volumes: voxel counts, shared voxels.

A row is a line of voxels along the fastest axis. Runs of equal voxels are counted at once. The
first and last column of a row's targets are stored, so later passes read only these columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluator.compilation import njit

CHUNK = 32
"""Voxels that are compared with the current run at once."""


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
