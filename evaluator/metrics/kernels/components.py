"""Connected pieces of a mask, found on its runs: lines of voxels along the fastest axis that have a target in common.

Pieces are joined over faces and edges (18 neighbours; in an image of two axes 8, corners included).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import Labelled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """One target's runs, in order of row, and the piece that each belongs to."""

    #: row r of the box (plane times rows, and row) has the runs [rows[r], rows[r + 1])
    rows: NDArray[np.int64]
    #: columns [first, last) of each run, (runs, 2)
    columns: NDArray[np.int32]
    #: of each run, from 0
    piece: NDArray[np.int64]
    #: voxels of each piece
    voxels: NDArray[np.int64]


def find_pieces(labelled: Labelled, target: int, box: NDArray[np.int64]) -> Pieces:
    """The pieces of a target within a box, (2, 3) first and last + 1 voxel, that holds all of it."""
    (z0, y0, x0), (z1, y1, x1) = box.tolist()
    region = labelled.voxels[z0:z1, y0:y1, x0:x1]
    rows, columns = _find_runs(region, labelled.table, target)
    piece, voxels = _join(rows, columns, y1 - y0)
    return Pieces(rows=rows, columns=columns, piece=piece, voxels=voxels)


def shared_by_pieces(
    one: Pieces, other: Pieces
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of pieces that touch, by number in ``one`` and in ``other``, and how many voxels each pair shares."""
    keys, counts = _overlaps(
        one.rows, one.columns, one.piece, other.rows, other.columns, other.piece
    )
    pairs, where = np.unique(keys, axis=0, return_inverse=True)
    shared = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(shared, where.reshape(-1), counts)
    return pairs[:, 0], pairs[:, 1], shared


@njit(cache=True, nogil=True)
def _find_runs(region: Any, table: Any, target: int) -> Any:
    planes, height, width = region.shape
    rows = np.zeros(planes * height + 1, dtype=np.int64)
    columns = np.empty((1024, 2), dtype=np.int32)
    found = 0
    for z in range(planes):
        for y in range(height):
            row = region[z, y]
            x = 0
            while x < width:
                value, start = row[x], x
                while x < width and row[x] == value:
                    x += 1
                if table[value] != target:
                    continue
                if found > rows[z * height + y] and columns[found - 1, 1] == start:
                    columns[found - 1, 1] = x  # another label of the same target
                    continue
                if found == columns.shape[0]:
                    columns = np.concatenate((columns, np.empty_like(columns)))
                columns[found, 0], columns[found, 1] = start, x
                found += 1
            rows[z * height + y + 1] = found
    return rows, columns[:found].copy()


@njit(cache=True, nogil=True)
def _root(parents: Any, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _join_rows(rows: Any, columns: Any, a: int, b: int, reach: int, parents: Any) -> None:
    """Join the runs of row ``a`` with those of row ``b`` that they meet when widened by ``reach`` columns."""
    i, j = rows[a], rows[b]
    while i < rows[a + 1] and j < rows[b + 1]:
        if columns[i, 0] < columns[j, 1] + reach and columns[j, 0] < columns[i, 1] + reach:
            one, other = _root(parents, i), _root(parents, j)
            parents[max(one, other)] = min(one, other)
        if columns[i, 1] < columns[j, 1]:
            i += 1
        else:
            j += 1


@njit(cache=True, nogil=True)
def _join(rows: Any, columns: Any, height: int) -> Any:
    parents = np.arange(columns.shape[0])
    for row in range(rows.size - 1):
        if rows[row] == rows[row + 1]:
            continue
        y = row % height
        if y > 0:
            _join_rows(rows, columns, row, row - 1, 1, parents)
        if row >= height:
            _join_rows(rows, columns, row, row - height, 1, parents)
            if y > 0:
                _join_rows(rows, columns, row, row - height - 1, 0, parents)
            if y + 1 < height:
                _join_rows(rows, columns, row, row - height + 1, 0, parents)
    piece = np.empty(parents.size, dtype=np.int64)
    voxels = np.zeros(parents.size, dtype=np.int64)
    found = 0
    for i in range(parents.size):
        root = _root(parents, i)
        if root == i:
            piece[i] = found
            found += 1
        piece[i] = piece[root]
        voxels[piece[i]] += columns[i, 1] - columns[i, 0]
    return piece, voxels[:found].copy()


@njit(cache=True, nogil=True)
def _overlaps(
    rows: Any, columns: Any, piece: Any, other_rows: Any, other_columns: Any, other_piece: Any
) -> Any:  # fmt: skip
    room = columns.shape[0] + other_columns.shape[0]
    keys, counts = np.empty((room, 2), dtype=np.int64), np.empty(room, dtype=np.int64)
    found = 0
    for row in range(rows.size - 1):
        i, j = rows[row], other_rows[row]
        while i < rows[row + 1] and j < other_rows[row + 1]:
            shared = min(columns[i, 1], other_columns[j, 1]) - max(
                columns[i, 0], other_columns[j, 0]
            )
            if shared > 0:
                keys[found, 0], keys[found, 1], counts[found] = piece[i], other_piece[j], shared
                found += 1
            if columns[i, 1] < other_columns[j, 1]:
                i += 1
            else:
                j += 1
    return keys[:found], counts[:found]
