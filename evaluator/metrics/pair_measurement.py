"""From the content of two label maps to measures: each target and direction is a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.dense_surface import dense_surfaces
from evaluator.metrics.kernels.sheared_grid import sheared_squares
from evaluator.metrics.kernels.surface_distance import near_rows, nearest_squares
from evaluator.metrics.kernels.surface_statistics import Surface, summarise, unmatched_surface
from evaluator.metrics.measurements import Measures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid, VoxelGrid
    from evaluator.metrics.label_content import Content
    from evaluator.metrics.workers import WorkerPool

    #: number of a pair, and the surface that distances start from: 0 reference, 1 prediction
    Direction = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetPair:
    """One target, which has the same number in the reference's and in the prediction's map."""

    target: int
    maps: tuple[LabelGrid, LabelGrid]
    contents: tuple[Content, Content]
    shared: int
    tolerance_mm: float

    @property
    def dense(self) -> bool:
        """Whether either map has too many corners to list."""
        return any(content.dense for content in self.contents)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DirectedSurface:
    """The corners of one surface, and the corners that distances go to."""

    positions: NDArray[np.int64]
    codes: NDArray[np.uint8]
    destinations: NDArray[np.int64]


def measure_targets(
    pairs: list[TargetPair], voxel_grid: VoxelGrid, pool: WorkerPool
) -> list[Measures]:
    """The measures of each pair, without optional parts."""
    dense = [n for n, pair in enumerate(pairs) if pair.dense]
    listed = [n for n in range(len(pairs)) if n not in set(dense)]
    directed: dict[Direction, _DirectedSurface] = {}
    for n in listed:
        corners = [content.corners(pairs[n].target) for content in pairs[n].contents]
        for source in (0, 1):
            positions, codes = corners[source]
            directed[n, source] = _DirectedSurface(
                positions=positions, codes=codes, destinations=corners[1 - source][0]
            )
    squares = _nearest_squares(directed, voxel_grid, pool)
    tasks: list[tuple[Any, ...]] = [
        (surface.codes, squares.get(key), voxel_grid, pairs[key[0]].tolerance_mm)
        for key, surface in directed.items()
    ]
    surfaces = dict(zip(directed, pool.run(_surface, tasks), strict=True))
    tasks = [(*pairs[n].maps, pairs[n].target, voxel_grid, pairs[n].tolerance_mm) for n in dense]
    for n, of_pair in zip(dense, pool.run(dense_surfaces, tasks), strict=True):
        surfaces[n, 0], surfaces[n, 1] = of_pair
    return [
        Measures(
            reference_voxels=int(pair.contents[0].voxels[pair.target]),
            prediction_voxels=int(pair.contents[1].voxels[pair.target]),
            shared_voxels=pair.shared,
            voxel_ml=voxel_grid.voxel_ml,
            tolerance_mm=pair.tolerance_mm,
            plane=voxel_grid.flat,
            reference=surfaces[n, 0],
            prediction=surfaces[n, 1],
        )
        for n, pair in enumerate(pairs)
    ]


def _nearest_squares(
    directed: dict[Direction, _DirectedSurface], voxel_grid: VoxelGrid, pool: WorkerPool
) -> dict[Direction, NDArray[np.float64]]:
    """Squared distances of the corners to their destinations, where both surfaces exist."""
    near = near_rows(voxel_grid.spacing)
    matched = {
        key: surface
        for key, surface in directed.items()
        if surface.positions.size and surface.destinations.size
    }
    # no task is more than half of a thread's share, and the longest tasks go first, so no thread
    # works alone at the end
    corners = sum(surface.positions.size for surface in matched.values())
    most = max(1, corners // (2 * pool.threads))
    tasks: list[tuple[Direction, NDArray[np.int64]]] = []
    for key, surface in matched.items():
        count = -(-surface.positions.size // most) if pool.threads > 1 else 1
        tasks += [(key, part) for part in np.array_split(surface.positions, count)]
    order = sorted(range(len(tasks)), key=lambda n: -tasks[n][1].size)
    ends = [(tasks[n][1], matched[tasks[n][0]].destinations) for n in order]
    if voxel_grid.sheared_axes is None:
        arguments = [(*pair, voxel_grid.spacing, *near) for pair in ends]
        results = pool.run(nearest_squares, arguments)
    else:
        results = pool.run(sheared_squares, [(*pair, voxel_grid.sheared_axes) for pair in ends])
    in_order = dict(zip(order, results, strict=True))
    by_direction: dict[Direction, list[NDArray[np.float64]]] = {key: [] for key in matched}
    for n, (key, _) in enumerate(tasks):
        by_direction[key].append(in_order[n])
    return {
        key: parts[0] if len(parts) == 1 else np.concatenate(parts)
        for key, parts in by_direction.items()
    }


def _surface(codes: Any, squares: Any, voxel_grid: VoxelGrid, tolerance_mm: float) -> Surface:
    if squares is None:
        counts = np.bincount(codes, minlength=voxel_grid.areas.size)
        return unmatched_surface(counts, voxel_grid.areas)
    return summarise(codes, squares, voxel_grid.areas, tolerance_mm)
