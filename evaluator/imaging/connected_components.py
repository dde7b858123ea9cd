"""The largest connected piece of a mask, found on its runs: lines of voxels along the last axis.

Errors about an organ are thin shells in a large box. Runs are few where voxels are many, so that joining runs costs a
small part of what labelling every voxel does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evaluator.imaging.grid_masks import GridMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 16


def largest_piece(mask: GridMask) -> GridMask:
    """The 26-connected piece of most voxels of a mask that is not empty; of equals the first in C order."""
    width = mask.array.shape[1]
    rows, runs = _runs(mask.array)
    roots = _roots(rows, runs, width)
    sizes = np.bincount(roots, weights=runs[:, 1] - runs[:, 0])
    own = roots == np.argmax(sizes)  # of equals the first, which begins first in C order
    row = np.repeat(np.arange(rows.size - 1), np.diff(rows))[own]
    # of each run of the piece: layer, row, first and end
    places = np.column_stack((row // width, row % width, runs[own])).astype(np.int64)
    low = places[:, :3].min(axis=0)
    high = np.append(places[:, :2].max(axis=0) + 1, places[:, 3].max())
    inside = np.zeros(high - low, dtype=np.bool_)
    _paint(inside, places - low[[0, 1, 2, 2]])
    i, j, k = (np.array(mask.offset) + low).tolist()
    return GridMask(grid=mask.grid, array=inside, offset=(i, j, k))


def _find_runs(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The runs [first, end) of every row, (runs, 2), and where each row's begin: row r has [rows[r], rows[r + 1])."""
    ni, nj, nk = inside.shape
    rows = np.zeros(ni * nj + 1, dtype=np.int64)
    runs = np.empty((1024, 2), dtype=np.int32)
    found = 0
    for i in range(ni):
        for j in range(nj):
            row = inside[i, j]
            k = 0
            while k < nk:
                if not row[k]:
                    k += 1
                    # many at once where nothing is
                    while k + CHUNK <= nk:
                        chunk, any_inside = row[k : k + CHUNK], False
                        for n in range(chunk.size):
                            any_inside |= chunk[n]
                        if any_inside:
                            break
                        k += CHUNK
                    continue
                start = k
                while k < nk and row[k]:
                    k += 1
                if found == runs.shape[0]:
                    runs = np.concatenate((runs, np.empty_like(runs)))
                runs[found, 0], runs[found, 1] = start, k
                found += 1
            rows[i * nj + j + 1] = found
    return rows, runs[:found]


def _find_root(parents: NDArray[np.int64], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


def _join_rows(
    rows: NDArray[np.int64], runs: NDArray[np.int32], a: int, b: int, parents: NDArray[np.int64]
) -> None:
    """Join the runs of two neighbouring rows that touch, also over an edge or a corner; the first one is the root."""
    i, j = rows[a], rows[b]
    while i < rows[a + 1] and j < rows[b + 1]:
        if runs[i, 0] <= runs[j, 1] and runs[j, 0] <= runs[i, 1]:
            one, other = _root(parents, i), _root(parents, j)
            parents[max(one, other)] = min(one, other)
        if runs[i, 1] < runs[j, 1]:
            i += 1
        else:
            j += 1


def _join_all(rows: NDArray[np.int64], runs: NDArray[np.int32], width: int) -> NDArray[np.int64]:
    """The root of each run, which is the first run of its piece; ``width`` rows make up a layer."""
    parents = np.arange(runs.shape[0])
    for row in range(rows.size - 1):
        if rows[row] == rows[row + 1]:
            continue
        j = row % width
        if j > 0:
            _join(rows, runs, row, row - 1, parents)
        if row >= width:
            for other in range(max(j - 1, 0), min(j + 2, width)):
                _join(rows, runs, row, row - width - j + other, parents)
    for run in range(parents.size):
        parents[run] = _root(parents, run)
    return parents


def _paint_runs(out: NDArray[np.bool_], places: NDArray[np.int64]) -> None:
    for n in range(places.shape[0]):
        out[places[n, 0], places[n, 1], places[n, 2] : places[n, 3]] = True


_runs: Any = njit(cache=True, nogil=True)(_find_runs)
_root: Any = njit(cache=True, nogil=True)(_find_root)
_join: Any = njit(cache=True, nogil=True)(_join_rows)
_roots: Any = njit(cache=True, nogil=True)(_join_all)
_paint: Any = njit(cache=True, nogil=True)(_paint_runs)
