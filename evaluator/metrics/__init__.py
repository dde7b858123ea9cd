"""Scores of masks against references: DeepMind's surface definitions, exact, for all targets of a scan at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.metrics.lattice import lay_out, make_lattice
from evaluator.metrics.lesions import Lesions, measure_lesions
from evaluator.metrics.measures import Measures, Surface
from evaluator.metrics.pairs import measure_targets, read_content, shared_voxels, workers
from evaluator.metrics.table import METRICS, Metric, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "METRICS",
    "Lesions",
    "Measures",
    "Metric",
    "Surface",
    "measure",
    "measure_labels",
    "measure_lesions",
    "measure_masks",
    "score",
]


def measure_labels(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
    prediction_targets: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Measures]:
    """Measure every target of a pair of label maps of one shape, two or three axes, any integers.

    ``targets`` has the labels that make up each target (they may share labels), ``prediction_targets`` those in the
    prediction where they differ. ``spacing`` is in mm along the arrays' axes, ``tolerances`` in mm for each target.
    Beyond the arrays nothing is inside, so a mask's part on the border is surface. Raises ValueError for shapes that
    differ and TypeError for labels that are no integers.

    Memory beyond the volumes: some 25 bytes for each surface corner and a bit for each voxel of a target's box, for
    each thread. A copy of the volumes (of 2 bytes a voxel) is made for integers of more than 16 bits, and one of the
    prediction where its memory order is not the reference's. Pure noise has nearly as many corners as voxels in every
    target, and takes minutes on a whole-body volume.
    """
    theirs = targets if prediction_targets is None else prediction_targets
    lattice = make_lattice(reference, spacing)
    measured: dict[str, Measures] = {}
    with workers(threads) as crew:
        for names in _layers(targets, theirs):
            maps = [
                lay_out(reference, lattice, [tuple(targets[name]) for name in names]),
                lay_out(prediction, lattice, [tuple(theirs[name]) for name in names]),
            ]
            one, two = read_content(maps, lattice, crew)
            shared = shared_voxels(maps[0], one, maps[1], two, crew)
            pairs = [
                (number, one, number, two, int(shared[number]), float(tolerances[name]))
                for number, name in enumerate(names, 1)
            ]
            measured.update(zip(names, measure_targets(pairs, lattice, crew), strict=True))
    return {name: measured[name] for name in targets}


def measure_masks(
    labels: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    masks: Mapping[str, NDArray[np.uint8]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
) -> dict[str, Measures]:
    """Measure every target of a reference label map against its own 0/1 mask; the masks may overlap.

    Shapes, units and errors as in ``measure_labels``.
    """
    lattice = make_lattice(labels, spacing)
    measured: dict[str, Measures] = {}
    with workers(threads) as crew:
        for names in _layers(targets, {}):
            reference = lay_out(labels, lattice, [tuple(targets[name]) for name in names])
            one = read_content([reference], lattice, crew)[0]
            pairs = []
            for number, name in enumerate(names, 1):
                # the mask's voxels are given the target's own number, so that they can be compared
                mask = lay_out(masks[name], lattice, [()] * (number - 1) + [(1,)])
                two = read_content([mask], lattice, crew)[0]
                shared = shared_voxels(reference, one, mask, two, crew)
                pairs.append((number, one, number, two, int(shared[number]), float(tolerances[name])))
            measured.update(zip(names, measure_targets(pairs, lattice, crew), strict=True))
    return {name: measured[name] for name in targets}


def measure(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float], tolerance_mm: float, threads: int = 1
) -> Measures:
    """Measure one pair of 0/1 masks of one shape (bool or integer); units and errors as in ``measure_labels``."""
    targets = {"mask": (1,)}
    return measure_labels(reference, prediction, targets, spacing, {"mask": tolerance_mm}, threads)["mask"]


def _layers(*maps: Mapping[str, tuple[int, ...]]) -> list[list[str]]:
    """The names in as few groups as it takes for no label of a map to belong to two targets of a group."""
    layers: list[tuple[list[str], list[set[int]]]] = []
    for name in maps[0]:
        labels = [set(each.get(name, ())) for each in maps]
        for names, taken in layers:
            if all(own.isdisjoint(used) for own, used in zip(labels, taken, strict=True)):
                names.append(name)
                taken[:] = [used | own for own, used in zip(labels, taken, strict=True)]
                break
        else:
            layers.append(([name], labels))
    return [names for names, _ in layers]
