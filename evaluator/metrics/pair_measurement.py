"""From label maps to measures: whole volumes are read slab by slab, then each target and direction is a task."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.dense_surface import dense_surfaces
from evaluator.metrics.kernels.surface_distance import near_rows, nearest_squares
from evaluator.metrics.kernels.surface_statistics import Surface, bare_surface, summarise
from evaluator.metrics.kernels.voxel_counts import (
    count_shared,
    count_targets,
    find_corners,
    sort_corners,
)
from evaluator.metrics.measurements import Measures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import Labelled, Lattice

    #: a target's number among the pairs, and 0 for its reference or 1 for its prediction
    Side = tuple[int, int]

SLABS_PER_THREAD = 4

LEAST_ROOM, VOXELS_PER_CORNER = 2**20, 8
"""Corners are listed up to one for so many voxels of the volume (a body's organs have one for hundreds)."""


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
    #: there are too many corners to list, and none is listed
    crowded: bool = False

    def corners(self, target: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Places and codes of one target's surface corners."""
        mine = slice(int(self.starts[target]), int(self.starts[target + 1]))
        return self.places[mine], self.codes[mine]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetPair:
    """One target, which has one number in the reference's map and in the prediction's."""

    target: int
    maps: tuple[Labelled, Labelled]
    contents: tuple[Content, Content]
    shared: int
    tolerance_mm: float


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
    rows = [
        (np.zeros((depth, height), np.int32), np.zeros((depth, height), np.int32)) for _ in maps
    ]
    if not maps[0].voxels.size:
        return [_nothing(each.targets, own) for each, own in zip(maps, rows, strict=True)]
    counts = crew.run(
        count_targets,
        [
            (each.voxels, each.table, slab, *own)
            for each, own in zip(maps, rows, strict=True)
            for slab in slabs
        ],
    )
    voxels = [sum(counts[i * len(slabs) : (i + 1) * len(slabs)]) for i in range(len(maps))]
    edges = _slabs(1 if lattice.flat else depth + 1, crew)
    rooms = [np.array([max(LEAST_ROOM, each.voxels.size // VOXELS_PER_CORNER)]) for each in maps]
    corners = crew.run(
        find_corners,
        [
            (each.voxels, each.table, *own, edge, lattice.flat, room)
            for each, own, room in zip(maps, rows, rooms, strict=True)
            for edge in edges
        ],
    )
    by_map = [corners[i * len(edges) : (i + 1) * len(edges)] for i in range(len(maps))]
    crowded = [not all(whole for *_, whole in slabs) for slabs in by_map]
    listed = [
        [] if full else [slab[:3] for slab in slabs]
        for slabs, full in zip(by_map, crowded, strict=True)
    ]
    del corners, by_map
    sorted_corners = crew.run(
        _sorted, [(found, each.targets) for found, each in zip(listed, maps, strict=True)]
    )
    return [
        Content(
            voxels=_padded(count, each.targets + 1),
            rows=own,
            places=places,
            codes=codes,
            starts=starts,
            crowded=full,
        )
        for each, own, count, (places, codes, starts), full in zip(
            maps, rows, voxels, sorted_corners, crowded, strict=True
        )
    ]


def shared_voxels(
    a: Labelled, in_a: Content, b: Labelled, in_b: Content, crew: Workers
) -> NDArray[np.int64]:
    """Voxels that have the same target in both maps, (targets + 1,)."""
    tasks = [
        (a.voxels, a.table, in_a.rows, b.voxels, b.table, in_b.rows, slab)
        for slab in _slabs(a.voxels.shape[0], crew)
    ]
    return _padded(sum(crew.run(count_shared, tasks)), max(a.targets, b.targets) + 1)


def measure_targets(pairs: list[TargetPair], lattice: Lattice, crew: Workers) -> list[Measures]:
    """Measures of each pair, without parts."""
    listed = [
        i for i, pair in enumerate(pairs) if not any(content.crowded for content in pair.contents)
    ]
    crowded = [i for i in range(len(pairs)) if i not in set(listed)]
    sides = {}
    for i in listed:
        own, other = (content.corners(pairs[i].target) for content in pairs[i].contents)
        sides[i, 0], sides[i, 1] = (own, other[0]), (other, own[0])
    squares = _all_squares(
        {key: (own[0], other) for key, (own, other) in sides.items()}, lattice, crew
    )
    tasks = [
        (own[1], squares.get(key), lattice, pairs[key[0]].tolerance_mm)
        for key, (own, _) in sides.items()
    ]
    surfaces = dict(zip(sides, crew.run(_surface, tasks), strict=True))
    filling = [(*pairs[i].maps, pairs[i].target, lattice, pairs[i].tolerance_mm) for i in crowded]
    for i, both in zip(crowded, crew.run(dense_surfaces, filling), strict=True):
        surfaces[i, 0], surfaces[i, 1] = both
    return [
        Measures(
            reference_voxels=int(pair.contents[0].voxels[pair.target]),
            prediction_voxels=int(pair.contents[1].voxels[pair.target]),
            shared_voxels=pair.shared,
            voxel_ml=lattice.voxel_ml,
            tolerance_mm=pair.tolerance_mm,
            reference=surfaces[i, 0],
            prediction=surfaces[i, 1],
        )
        for i, pair in enumerate(pairs)
    ]


def _all_squares(
    sides: dict[Side, tuple[NDArray[np.int64], NDArray[np.int64]]], lattice: Lattice, crew: Workers
) -> dict[Side, NDArray[np.float64]]:
    """Squared distances of each side's corners from those of the other, of the sides that have both."""
    near = near_rows(lattice.spacing)
    both = {key: (own, other) for key, (own, other) in sides.items() if own.size and other.size}
    # no piece is more than half of a thread's share, and the longest go first, so that no thread is left alone at the end
    most = max(1, sum(own.size for own, _ in both.values()) // (2 * crew.threads))
    pieces = [
        (key, part)
        for key, (own, _) in both.items()
        for part in (np.array_split(own, -(-own.size // most)) if crew.threads > 1 else [own])
    ]
    order = sorted(range(len(pieces)), key=lambda n: -pieces[n][1].size)
    done = crew.run(
        nearest_squares,
        [(pieces[n][1], both[pieces[n][0]][1], lattice.spacing, *near) for n in order],
    )
    found: dict[Side, list[NDArray[np.float64]]] = {key: [] for key in both}
    for n, made in sorted(zip(order, done, strict=True), key=lambda pair: pair[0]):
        found[pieces[n][0]].append(made)
    return {key: made[0] if len(made) == 1 else np.concatenate(made) for key, made in found.items()}


def _surface(codes: Any, squares: Any, lattice: Lattice, tolerance_mm: float) -> Surface:
    if squares is None:
        return bare_surface(codes, lattice.areas)
    return summarise(codes, squares, lattice.areas, tolerance_mm)


def _nothing(targets: int, rows: tuple[NDArray[np.int32], NDArray[np.int32]]) -> Content:
    places, codes, starts = (
        np.empty(0, np.int64),
        np.empty(0, np.uint8),
        np.zeros(targets + 2, np.int64),
    )
    return Content(
        voxels=np.zeros(targets + 1, np.int64), rows=rows, places=places, codes=codes, starts=starts
    )


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
