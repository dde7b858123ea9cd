"""Connected components of masks and label maps, found on runs of voxels.

A run is a line of voxels along the last axis that belong together. Errors about an organ are thin
shells in a large box. Runs are few where voxels are many, so joining runs costs a small part of
what labelling every voxel does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit
from evaluator.imaging.grid_masks import GridMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 16
"""Voxels outside a mask are skipped this many at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """The runs of one mask or target, in order of row, and the component that each belongs to."""

    #: row r of the box (plane times rows, and row) has the runs [rows[r], rows[r + 1])
    rows: NDArray[np.int64]
    #: columns [first, last) of each run, (runs, 2)
    columns: NDArray[np.int32]
    #: of each run, from 0; component c begins before component c + 1 in C order
    component: NDArray[np.int64]
    #: voxels of each component
    voxels: NDArray[np.int64]


def largest_component(mask: GridMask) -> GridMask:
    """The 26-connected component of most voxels of a mask.

    Args:
        mask: not empty.

    Returns:
        The component on the same grid; of equally large ones the first in C order.
    """
    height = mask.array.shape[1]
    rows, columns = _mask_runs(mask.array)
    component, voxels = _join(rows, columns, height, 1)
    in_largest = component == np.argmax(voxels)
    row = np.repeat(np.arange(rows.size - 1), np.diff(rows))[in_largest]
    # of each run of the component: layer, row, first column and end
    runs = np.column_stack((row // height, row % height, columns[in_largest])).astype(np.int64)
    low = runs[:, :3].min(axis=0)
    high = np.append(runs[:, :2].max(axis=0) + 1, runs[:, 3].max())
    array = np.zeros(high - low, dtype=np.bool_)
    _paint_runs(array, runs - low[[0, 1, 2, 2]])
    i, j, k = (np.array(mask.offset) + low).tolist()
    return GridMask(grid=mask.grid, array=array, offset=(i, j, k))


def target_components(
    voxels: NDArray[Any], table: NDArray[np.int32], target: int, box: NDArray[np.int64]
) -> Components:
    """The components of one target of a label map, joined over faces and edges (18 neighbours).

    In an image of two axes (one plane) these are the 8 neighbours, corners included.

    Args:
        voxels: label map, (planes, rows, columns) uint8 or uint16.
        table: the target of every value that a voxel can have.
        target: the number of the target in ``table``.
        box: first and last + 1 voxel, (2, 3), of a box that holds all of the target.
    """
    (z0, y0, x0), (z1, y1, x1) = box.tolist()
    rows, columns = _target_runs(voxels[z0:z1, y0:y1, x0:x1], table, target)
    component, sizes = _join(rows, columns, y1 - y0, 0)
    return Components(rows=rows, columns=columns, component=component, voxels=sizes)


def component_overlaps(
    a: Components, b: Components
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of components that share voxels, of two masks in one box.

    Returns:
        Of each pair the number of the component in ``a``, the number of the component in ``b``,
        and how many voxels they share.
    """
    keys, counts = _run_overlaps(a.rows, a.columns, a.component, b.rows, b.columns, b.component)
    pairs, pair_of_key = np.unique(keys, axis=0, return_inverse=True)
    shared = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(shared, pair_of_key.reshape(-1), counts)
    return pairs[:, 0], pairs[:, 1], shared


@njit(cache=True, nogil=True)
def _mask_runs(array: Any) -> Any:
    """The runs [first, last) of every row of a mask, (runs, 2), and where each row's begin."""
    ni, nj, nk = array.shape
    rows = np.zeros(ni * nj + 1, dtype=np.int64)
    runs = np.empty((1024, 2), dtype=np.int32)
    count = 0
    for i in range(ni):
        for j in range(nj):
            row = array[i, j]
            k = 0
            while k < nk:
                if not row[k]:
                    k += 1
                    # many at once where the mask is empty
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
                if count == runs.shape[0]:
                    runs = np.concatenate((runs, np.empty_like(runs)))
                runs[count, 0], runs[count, 1] = start, k
                count += 1
            rows[i * nj + j + 1] = count
    return rows, runs[:count]


@njit(cache=True, nogil=True)
def _target_runs(region: Any, table: Any, target: int) -> Any:
    """As ``_mask_runs``, of the voxels of a label map whose value the table gives this target."""
    planes, height, width = region.shape
    rows = np.zeros(planes * height + 1, dtype=np.int64)
    columns = np.empty((1024, 2), dtype=np.int32)
    count = 0
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
                if count > rows[z * height + y] and columns[count - 1, 1] == start:
                    columns[count - 1, 1] = x  # another label of the same target
                    continue
                if count == columns.shape[0]:
                    columns = np.concatenate((columns, np.empty_like(columns)))
                columns[count, 0], columns[count, 1] = start, x
                count += 1
            rows[z * height + y + 1] = count
    return rows, columns[:count].copy()


@njit(cache=True, nogil=True)
def _root(parents: Any, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _join_rows(rows: Any, columns: Any, a: int, b: int, reach: int, parents: Any) -> None:
    """Join the runs of row ``a`` with those of row ``b`` that they meet.

    Runs are widened by ``reach`` columns: 1 joins runs that touch at an edge or a corner too. The
    first of two runs becomes the root.
    """
    i, j = rows[a], rows[b]
    while i < rows[a + 1] and j < rows[b + 1]:
        if columns[i, 0] < columns[j, 1] + reach and columns[j, 0] < columns[i, 1] + reach:
            root_i, root_j = _root(parents, i), _root(parents, j)
            parents[max(root_i, root_j)] = min(root_i, root_j)
        if columns[i, 1] < columns[j, 1]:
            i += 1
        else:
            j += 1


@njit(cache=True, nogil=True)
def _join(rows: Any, columns: Any, height: int, diagonal_reach: int) -> Any:
    """The component of each run, and the voxels of each component; ``height`` rows make a layer.

    ``diagonal_reach`` is that of rows which differ in layer and row: 0 for 18 neighbours, 1 for 26.
    """
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
                _join_rows(rows, columns, row, row - height - 1, diagonal_reach, parents)
            if y + 1 < height:
                _join_rows(rows, columns, row, row - height + 1, diagonal_reach, parents)
    component = np.empty(parents.size, dtype=np.int64)
    voxels = np.zeros(parents.size, dtype=np.int64)
    count = 0
    for i in range(parents.size):
        root = _root(parents, i)
        if root == i:
            component[i] = count
            count += 1
        component[i] = component[root]
        voxels[component[i]] += columns[i, 1] - columns[i, 0]
    return component, voxels[:count].copy()


@njit(cache=True, nogil=True)
def _paint_runs(out: Any, runs: Any) -> None:
    for n in range(runs.shape[0]):
        out[runs[n, 0], runs[n, 1], runs[n, 2] : runs[n, 3]] = True


@njit(cache=True, nogil=True)
def _run_overlaps(
    a_rows: Any, a_columns: Any, a_component: Any, b_rows: Any, b_columns: Any, b_component: Any
) -> Any:
    """The components of every two runs that share voxels, (n, 2), and how many they share, (n,)."""
    most = a_columns.shape[0] + b_columns.shape[0]
    keys, counts = np.empty((most, 2), dtype=np.int64), np.empty(most, dtype=np.int64)
    count = 0
    for row in range(a_rows.size - 1):
        i, j = a_rows[row], b_rows[row]
        while i < a_rows[row + 1] and j < b_rows[row + 1]:
            shared = min(a_columns[i, 1], b_columns[j, 1]) - max(a_columns[i, 0], b_columns[j, 0])
            if shared > 0:
                keys[count, 0], keys[count, 1] = a_component[i], b_component[j]
                counts[count] = shared
                count += 1
            if a_columns[i, 1] < b_columns[j, 1]:
                i += 1
            else:
                j += 1
    return keys[:count], counts[:count]
