"""What a label map holds of its targets: voxel counts and surface corners, read slab by slab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.surface_corners import find_corners, sort_corners
from evaluator.metrics.kernels.voxel_counts import count_shared, count_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid, VoxelGrid
    from evaluator.metrics.workers import WorkerPool

    #: the columns [low, high) in which each row's targets lie, (planes, rows) each
    RowLimits = tuple[NDArray[np.int32], NDArray[np.int32]]

LEAST_CORNERS, VOXELS_PER_CORNER = 2**20, 8
"""At most one corner for so many voxels of the volume is listed (organs have one for hundreds)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Content:
    """Voxel counts and surface corners of all targets of a label map."""

    #: voxels of each target, (targets + 1,)
    voxels: NDArray[np.int64]
    #: the columns in which each row's targets lie
    rows: RowLimits
    #: surface corners of all targets, sorted by target
    positions: NDArray[np.int64]
    codes: NDArray[np.uint8]
    #: target t has the corners [starts[t], starts[t + 1])
    starts: NDArray[np.int64]
    #: there are too many corners to list, and none is listed
    dense: bool = False

    def corners(self, target: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Positions and codes of one target's surface corners."""
        of_target = slice(int(self.starts[target]), int(self.starts[target + 1]))
        return self.positions[of_target], self.codes[of_target]


def read_content(
    maps: Sequence[LabelGrid], voxel_grid: VoxelGrid, pool: WorkerPool, *, limited: bool = True
) -> list[Content]:
    """Count the voxels and find the surfaces of the targets of each label map.

    The corners of a map are listed only if they are few, unless ``limited`` is false.
    """
    depth, height = maps[0].voxels.shape[:2]
    limits = [_empty_limits(depth, height) for _ in maps]
    if not maps[0].voxels.size:
        return [
            _empty_content(label_grid.targets, rows)
            for label_grid, rows in zip(maps, limits, strict=True)
        ]
    voxels = _count_voxels(maps, limits, pool)
    slabs = _find_corners(maps, limits, voxel_grid, pool, limited=limited)
    dense = [not _is_complete(of_map) for of_map in slabs]
    listed = [[] if is_dense else of_map for of_map, is_dense in zip(slabs, dense, strict=True)]
    tasks = [(of_map, label_grid.targets) for of_map, label_grid in zip(listed, maps, strict=True)]
    del slabs, listed
    corners = pool.run(_sort_slabs, tasks)
    return [
        Content(
            voxels=voxels[n],
            rows=limits[n],
            positions=corners[n][0],
            codes=corners[n][1],
            starts=corners[n][2],
            dense=dense[n],
        )
        for n in range(len(maps))
    ]


def shared_voxels(
    a: LabelGrid, in_a: Content, b: LabelGrid, in_b: Content, pool: WorkerPool
) -> NDArray[np.int64]:
    """Voxels that have the same target in both maps, (targets + 1,)."""
    tasks = [
        (a.voxels, a.table, in_a.rows, b.voxels, b.table, in_b.rows, slab)
        for slab in pool.slabs(a.voxels.shape[0])
    ]
    return _padded(sum(pool.run(count_shared, tasks)), max(a.targets, b.targets) + 1)


def _count_voxels(
    maps: Sequence[LabelGrid], limits: list[RowLimits], pool: WorkerPool
) -> list[NDArray[np.int64]]:
    """The voxels of each map's targets; fills the limits."""
    slabs = pool.slabs(maps[0].voxels.shape[0])
    tasks = []
    for label_grid, rows in zip(maps, limits, strict=True):
        tasks += [(label_grid.voxels, label_grid.table, slab, *rows) for slab in slabs]
    by_map = _chunks(pool.run(count_targets, tasks), len(slabs))
    return [
        _padded(sum(counts), label_grid.targets + 1)
        for counts, label_grid in zip(by_map, maps, strict=True)
    ]


def _find_corners(
    maps: Sequence[LabelGrid],
    limits: list[RowLimits],
    voxel_grid: VoxelGrid,
    pool: WorkerPool,
    *,
    limited: bool,
) -> list[list[Any]]:
    """For each map the result of ``find_corners`` for each slab."""
    slabs = pool.slabs(1 if voxel_grid.flat else maps[0].voxels.shape[0] + 1)
    tasks = []
    for label_grid, rows in zip(maps, limits, strict=True):
        # surfaces on sheared grids are measured from lists of corners alone
        most = max(LEAST_CORNERS, label_grid.voxels.size // VOXELS_PER_CORNER)
        budget = np.array([most if limited and voxel_grid.sheared_axes is None else 2**62])
        tasks += [
            (label_grid.voxels, label_grid.table, *rows, slab, voxel_grid.flat, budget)
            for slab in slabs
        ]
    return _chunks(pool.run(find_corners, tasks), len(slabs))


def _is_complete(slabs: list[Any]) -> bool:
    """Whether all corners of a map were listed."""
    return all(complete for *_, complete in slabs)


def _chunks(results: list[Any], size: int) -> list[list[Any]]:
    return [results[start : start + size] for start in range(0, len(results), size)]


def _sort_slabs(slabs: list[tuple[Any, Any, Any, bool]], targets: int) -> tuple[Any, Any, Any]:
    """Positions and codes of the corners of all slabs by target, and where each target's start."""
    starts = np.zeros(targets + 2, dtype=np.int64)
    for _, _, target_of, _ in slabs:
        starts[1:] += np.bincount(target_of, minlength=targets + 1)
    starts = np.cumsum(starts)
    positions, codes = np.empty(starts[-1], dtype=np.int64), np.empty(starts[-1], dtype=np.uint8)
    ends = starts[:-1].copy()
    for slab_positions, slab_codes, target_of, _ in slabs:
        sort_corners(slab_positions, slab_codes, target_of, ends, positions, codes)
    return positions, codes, starts


def _empty_limits(depth: int, height: int) -> RowLimits:
    return np.zeros((depth, height), np.int32), np.zeros((depth, height), np.int32)


def _empty_content(targets: int, rows: RowLimits) -> Content:
    return Content(
        voxels=np.zeros(targets + 1, np.int64),
        rows=rows,
        positions=np.empty(0, np.int64),
        codes=np.empty(0, np.uint8),
        starts=np.zeros(targets + 2, np.int64),
    )


def _padded(counts: Any, length: int) -> NDArray[np.int64]:
    out = np.zeros(length, dtype=np.int64)
    counts = np.atleast_1d(counts)[:length]
    out[: counts.size] = counts
    return out
