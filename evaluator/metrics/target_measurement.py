"""Measure all targets of a pair of masks or label maps at once.

Memory beyond the volumes: some 25 bytes for each surface corner, which are at most an eighth of the
voxels, and for each thread a bit for each voxel of a target's box. A map with more corners than
that is noise: its targets are measured one for each thread
(``evaluator.metrics.kernels.dense_surface``), with less than a byte a voxel. A copy of the volumes
(of 2 bytes a voxel) is made for integers of more than 16 bits, and a copy of the prediction where
its memory order is not the reference's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.label_grid import (
    make_voxel_grid,
    require_integers,
    to_label_grid,
)
from evaluator.metrics.kernels.present_labels import present_labels
from evaluator.metrics.label_content import read_content, shared_voxels
from evaluator.metrics.optional_measurements import add_measurements
from evaluator.metrics.pair_measurement import TargetPair, measure_targets
from evaluator.metrics.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import VoxelGrid
    from evaluator.metrics.measurements import Measurement, Measures
    from evaluator.metrics.workers import WorkerPool

    Measurements = Mapping[str, Collection[Measurement]]

MOST_LABELS = 2**16 - 1


def measure_labels(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
    prediction_targets: Mapping[str, tuple[int, ...]] | None = None,
    measurements: Measurements | None = None,
    image: NDArray[Any] | None = None,
    sheared_axes: NDArray[np.float64] | None = None,
) -> dict[str, Measures]:
    """Measure every target of a pair of label maps.

    Voxels beyond the arrays are outside every mask, so where a mask touches the border of the
    arrays, the border is surface.

    Args:
        reference: label map of two or three axes, any integers.
        prediction: label map of the same shape.
        targets: the labels that make up each target; targets may share labels.
        spacing: millimetres along the arrays' axes.
        tolerances: of each target, millimetres, for the normalised surface distance.
        threads: number of threads.
        prediction_targets: the labels in the prediction where they differ from ``targets``.
        measurements: what to measure of each target beyond voxels and surfaces.
        image: any real numbers, of the same shape; needed for the measurement "uptake".
        sheared_axes: (3, axes), the world's millimetres along each axis of the arrays, if these are
            not at right angles (``evaluator.imaging.geometry.sheared_axes``).

    Returns:
        The measures of each target, in the order of ``targets``.

    Raises:
        ValueError: shapes differ, or the spacing is not positive and finite.
        TypeError: labels are not integers.
    """
    labels_of_prediction = targets if prediction_targets is None else prediction_targets
    voxel_grid = make_voxel_grid(reference, spacing, sheared_axes)
    measures: dict[str, Measures] = {}
    with worker_pool(threads) as pool:
        for names in _disjoint_groups(targets, labels_of_prediction):
            maps = (
                to_label_grid(reference, voxel_grid, [tuple(targets[name]) for name in names]),
                to_label_grid(
                    prediction, voxel_grid, [tuple(labels_of_prediction[name]) for name in names]
                ),
            )
            in_reference, in_prediction = read_content(maps, voxel_grid, pool)
            shared = shared_voxels(maps[0], in_reference, maps[1], in_prediction, pool)
            pairs = [
                TargetPair(
                    target=number,
                    maps=maps,
                    contents=(in_reference, in_prediction),
                    shared=int(shared[number]),
                    tolerance_mm=float(tolerances[name]),
                )
                for number, name in enumerate(names, 1)
            ]
            measures |= _measure_group(names, pairs, measurements or {}, voxel_grid, pool, image)
    return {name: measures[name] for name in targets}


def measure_masks(
    labels: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    masks: Mapping[str, NDArray[np.uint8]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
    measurements: Measurements | None = None,
    image: NDArray[Any] | None = None,
    sheared_axes: NDArray[np.float64] | None = None,
) -> dict[str, Measures]:
    """Measure every target of a reference label map against a 0/1 mask; the masks may overlap.

    Args:
        labels: label map of the reference.
        targets: the labels that make up each target.
        masks: the predicted mask of each target.
        spacing: as in ``measure_labels``, like all further arguments, the result and the errors.
        tolerances: of each target, millimetres.
        threads: number of threads.
        measurements: what to measure of each target beyond voxels and surfaces.
        image: needed for the measurement "uptake".
        sheared_axes: as in ``measure_labels``.
    """
    voxel_grid = make_voxel_grid(labels, spacing, sheared_axes)
    measures: dict[str, Measures] = {}
    with worker_pool(threads) as pool:
        for names in _disjoint_groups(targets, {}):
            reference = to_label_grid(labels, voxel_grid, [tuple(targets[name]) for name in names])
            in_reference = read_content([reference], voxel_grid, pool)[0]
            pairs = []
            for number, name in enumerate(names, 1):
                # voxels of the mask get the target's number, so they can be compared
                mask = to_label_grid(masks[name], voxel_grid, [()] * (number - 1) + [(1,)])
                in_mask = read_content([mask], voxel_grid, pool)[0]
                shared = shared_voxels(reference, in_reference, mask, in_mask, pool)
                pairs.append(
                    TargetPair(
                        target=number,
                        maps=(reference, mask),
                        contents=(in_reference, in_mask),
                        shared=int(shared[number]),
                        tolerance_mm=float(tolerances[name]),
                    )
                )
            measures |= _measure_group(names, pairs, measurements or {}, voxel_grid, pool, image)
    return {name: measures[name] for name in targets}


def measure(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    spacing: Sequence[float],
    tolerance_mm: float,
    threads: int = 1,
    measurements: Collection[Measurement] = (),
    image: NDArray[Any] | None = None,
    sheared_axes: NDArray[np.float64] | None = None,
) -> Measures:
    """Measure one pair of 0/1 masks.

    Args:
        reference: bool or integer, two or three axes.
        prediction: a mask of the same shape.
        spacing: millimetres along the arrays' axes.
        tolerance_mm: for the normalised surface distance.
        threads: number of threads.
        measurements: what to measure beyond voxels and surfaces.
        image: any real numbers, of the same shape; needed for the measurement "uptake".
        sheared_axes: (3, axes), the world's millimetres along each axis of the arrays, if these are
            not at right angles (``evaluator.imaging.geometry.sheared_axes``).

    Raises:
        ValueError: shapes differ, or the spacing is not positive and finite.
        TypeError: masks are not integers.
    """
    measures = measure_labels(
        reference,
        prediction,
        {"mask": (1,)},
        spacing,
        {"mask": tolerance_mm},
        threads,
        measurements={"mask": measurements},
        image=image,
        sheared_axes=sheared_axes,
    )
    return measures["mask"]


def labels_in(volume: NDArray[Any]) -> list[int]:
    """The labels other than 0 in a label map of any integers, sorted.

    Raises:
        ValueError: there are more than 65535 labels.
        TypeError: labels are not integers.
    """
    require_integers(volume)
    in_memory_order = volume if volume.flags.c_contiguous else np.ascontiguousarray(volume.T)
    labels = present_labels(in_memory_order.reshape(-1), MOST_LABELS)
    if len(labels) > MOST_LABELS:
        raise ValueError(f"more than {MOST_LABELS} labels")
    return sorted(int(label) for label in labels if label)


def _measure_group(
    names: Sequence[str],
    pairs: list[TargetPair],
    measurements: Measurements,
    voxel_grid: VoxelGrid,
    pool: WorkerPool,
    image: NDArray[Any] | None,
) -> dict[str, Measures]:
    """The measures of each target by name, with its optional measurements."""
    measures = dict(zip(names, measure_targets(pairs, voxel_grid, pool), strict=True))
    pair_of = dict(zip(names, pairs, strict=True))
    extended = [name for name in names if measurements.get(name)]
    tasks = [
        (measures[name], measurements[name], pair_of[name], voxel_grid, image) for name in extended
    ]
    return measures | dict(zip(extended, pool.run(add_measurements, tasks), strict=True))


def _disjoint_groups(*maps: Mapping[str, tuple[int, ...]]) -> list[list[str]]:
    """The names in groups of targets that share no label of a map; as few groups as needed."""
    groups: list[tuple[list[str], list[set[int]]]] = []
    for name in maps[0]:
        labels = [set(targets.get(name, ())) for targets in maps]
        for names, used in groups:
            if _are_disjoint(labels, used):
                names.append(name)
                used[:] = [old | new for old, new in zip(used, labels, strict=True)]
                break
        else:
            groups.append(([name], labels))
    return [names for names, _ in groups]


def _are_disjoint(a: Iterable[set[int]], b: Iterable[set[int]]) -> bool:
    return all(x.isdisjoint(y) for x, y in zip(a, b, strict=True))
