"""From label maps to measures: whole volumes are read slab by slab, then each target and direction is a task."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.measures import Measures, Surface
from evaluator.metrics.nearest import near_rows, nearest_squares
from evaluator.metrics.scan import count_shared, count_targets, find_corners, sort_corners
from evaluator.metrics.summary import bare_surface, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from evaluator.metrics.lattice import Labelled, Lattice

SLABS_PER_THREAD = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Content:
    """What a label map holds of its targets."""

    #: voxels of each target, (targets + 1,)
    voxels: NDArray[np.int64]
    #: the columns in which each row's targets lie, [low, high), (planes, rows) each
    rows: tuple[NDArray[np.int32], NDArray[np.int32]]
    #: surface corners of all targets, one target's after the other's
    places: NDArray[np.int64]
    codes: NDArray[np.uint8]
    #: target t has the corners [starts[t], starts[t + 1])
    starts: NDArray[np.int64]

    def corners(self, target: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Places and codes of one target's surface corners."""
        mine = slice(int(self.starts[target]), int(self.starts[target + 1]))
        return self.places[mine], self.codes[mine]


class Workers:
    """Runs kernels, which let go of the interpreter's lock, in so many threads; with one, in the caller's."""

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"need at least one thread, not {threads}")
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(threads) if threads > 1 else None

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The results of all tasks, in their order."""
        if self._pool is None:
            return [function(*task) for task in tasks]
        waiting = [self._pool.submit(function, *task) for task in tasks]
        return [result.result() for result in waiting]

    def close(self) -> None:
        """Wait for the threads to end."""
        if self._pool is not None:
            self._pool.shutdown()


@contextmanager
def workers(threads: int) -> Iterator[Workers]:
    """Workers for one call."""
    made = Workers(threads)
    try:
        yield made
    finally:
        made.close()


def read_content(maps: list[Labelled], lattice: Lattice, crew: Workers) -> list[Content]:
    """Count and find the surfaces of each label map's targets."""
    depth, height = maps[0].voxels.shape[:2]
    slabs = _slabs(depth, crew)
    rows = [(np.zeros((depth, height), np.int32), np.zeros((depth, height), np.int32)) for _ in maps]
    if not maps[0].voxels.size:
        return [_nothing(each.targets, own) for each, own in zip(maps, rows, strict=True)]
    counts = crew.run(
        count_targets,
        [(each.voxels, each.table, slab, *own) for each, own in zip(maps, rows, strict=True) for slab in slabs],
    )
    voxels = [sum(counts[i * len(slabs) : (i + 1) * len(slabs)]) for i in range(len(maps))]
    edges = _slabs(1 if lattice.flat else depth + 1, crew)
    corners = crew.run(
        find_corners,
        [
            (each.voxels, each.table, *own, edge, lattice.flat)
            for each, own in zip(maps, rows, strict=True)
            for edge in edges
        ],
    )
    sorted_corners = crew.run(
        _sorted,
        [(corners[i * len(edges) : (i + 1) * len(edges)], each.targets) for i, each in enumerate(maps)],
    )
    return [
        Content(voxels=_padded(count, each.targets + 1), rows=own, places=places, codes=codes, starts=starts)
        for each, own, count, (places, codes, starts) in zip(maps, rows, voxels, sorted_corners, strict=True)
    ]


def shared_voxels(a: Labelled, in_a: Content, b: Labelled, in_b: Content, crew: Workers) -> NDArray[np.int64]:
    """Voxels that have the same target in both maps, (targets + 1,)."""
    tasks = [
        (a.voxels, a.table, in_a.rows, b.voxels, b.table, in_b.rows, slab) for slab in _slabs(a.voxels.shape[0], crew)
    ]
    return _padded(sum(crew.run(count_shared, tasks)), max(a.targets, b.targets) + 1)


def measure_targets(
    pairs: list[tuple[int, Content, int, Content, int, float]], lattice: Lattice, crew: Workers
) -> list[Measures]:
    """Measures of (target, reference, target there, prediction, shared voxels, tolerance) of each pair."""
    near = near_rows(lattice.spacing)
    tasks = []
    for target, reference, theirs, prediction, _, tolerance in pairs:
        own, other = reference.corners(target), prediction.corners(theirs)
        tasks += [(own, other[0], tolerance), (other, own[0], tolerance)]
    # the longest first, so that no thread is left alone with one at the end
    order = sorted(range(len(tasks)), key=lambda i: -tasks[i][0][0].size)
    done = crew.run(_surface, [(*tasks[i], lattice, near) for i in order])
    surfaces = dict(zip(order, done, strict=True))
    return [
        Measures(
            reference_voxels=int(reference.voxels[target]),
            prediction_voxels=int(prediction.voxels[theirs]),
            shared_voxels=shared,
            voxel_ml=lattice.voxel_ml,
            tolerance_mm=tolerance,
            reference=surfaces[2 * i],
            prediction=surfaces[2 * i + 1],
        )
        for i, (target, reference, theirs, prediction, shared, tolerance) in enumerate(pairs)
    ]


def _surface(own: tuple[Any, Any], other: Any, tolerance: float, lattice: Lattice, near: tuple[Any, ...]) -> Surface:
    places, codes = own
    if not places.size or not other.size:
        return bare_surface(codes, lattice.areas)
    squares = nearest_squares(places, other, lattice.spacing, *near)
    return summarise(codes, squares, lattice.areas, tolerance)


def _nothing(targets: int, rows: tuple[NDArray[np.int32], NDArray[np.int32]]) -> Content:
    places, codes, starts = np.empty(0, np.int64), np.empty(0, np.uint8), np.zeros(targets + 2, np.int64)
    return Content(voxels=np.zeros(targets + 1, np.int64), rows=rows, places=places, codes=codes, starts=starts)


def _sorted(slabs: list[tuple[Any, Any, Any]], targets: int) -> tuple[Any, Any, Any]:
    starts = np.zeros(targets + 2, dtype=np.int64)
    for _, _, whose in slabs:
        starts[1:] += np.bincount(whose, minlength=targets + 1)
    starts = np.cumsum(starts)
    places, codes = np.empty(starts[-1], dtype=np.int64), np.empty(starts[-1], dtype=np.uint8)
    ends = starts[:-1].copy()
    for slab in slabs:
        sort_corners(*slab, ends, places, codes)
    return places, codes, starts


def _slabs(planes: int, crew: Workers) -> list[tuple[int, int]]:
    pieces = 1 if crew.threads == 1 else min(planes, SLABS_PER_THREAD * crew.threads)
    return [(planes * i // pieces, planes * (i + 1) // pieces) for i in range(pieces)]


def _padded(counts: Any, length: int) -> NDArray[np.int64]:
    out = np.zeros(length, dtype=np.int64)
    counts = np.atleast_1d(counts)[:length]
    out[: counts.size] = counts
    return out
