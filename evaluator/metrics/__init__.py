"""Scores of masks against references: DeepMind's surface definitions, exact, for all targets of a scan at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.kernels.label_grid import lay_out, make_lattice
from evaluator.metrics.kernels.surface_statistics import Surface
from evaluator.metrics.kernels.voxel_counts import present_labels
from evaluator.metrics.lesions import Lesions, measure_lesions
from evaluator.metrics.measurements import Measures, Part
from evaluator.metrics.optional_measurements import add_parts
from evaluator.metrics.pair_measurement import (
    TargetPair,
    Workers,
    measure_targets,
    read_content,
    shared_voxels,
    workers,
)
from evaluator.metrics.registry import METRICS, Metric, score, without_value
from evaluator.metrics.uptake import SPHERE_MM as PEAK_MM

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import Lattice

    Parts = Mapping[str, Collection[Part]]

__all__ = [
    "METRICS",
    "PEAK_MM",
    "Lesions",
    "Measures",
    "Metric",
    "Part",
    "Surface",
    "labels_in",
    "measure",
    "measure_labels",
    "measure_lesions",
    "measure_masks",
    "score",
    "without_value",
]

MOST_LABELS = 2**16 - 1


def measure_labels(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
    prediction_targets: Mapping[str, tuple[int, ...]] | None = None,
    parts: Parts | None = None,
    image: NDArray[Any] | None = None,
) -> dict[str, Measures]:
    """Measure every target of a pair of label maps of one shape, two or three axes, any integers.

    ``targets`` has the labels that make up each target (they may share labels), ``prediction_targets`` those in the
    prediction where they differ. ``spacing`` is in mm along the arrays' axes, ``tolerances`` in mm for each target.
    ``parts`` has what is measured of a target beyond voxels and surfaces; "uptake" needs the ``image``, any real numbers.
    Beyond the arrays nothing is inside, so a mask's part on the border is surface. Raises ValueError for shapes that
    differ and TypeError for labels that are no integers.

    Memory beyond the volumes: some 25 bytes for each surface corner, which are at most an eighth of the voxels, and for
    each thread a bit for each voxel of a target's box. A map with more corners than that is noise: its targets are taken
    one for each thread (``evaluator.metrics.kernels.dense_surface``), with 11 bytes a voxel at most. A copy of the volumes (of 2 bytes a
    voxel) is made for integers of more than 16 bits, and one of the prediction where its memory order is not the
    reference's.
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
                TargetPair(
                    target=number,
                    maps=(maps[0], maps[1]),
                    contents=(one, two),
                    shared=int(shared[number]),
                    tolerance_mm=float(tolerances[name]),
                )
                for number, name in enumerate(names, 1)
            ]
            measured.update(_measured(names, pairs, parts or {}, lattice, crew, image))
    return {name: measured[name] for name in targets}


def measure_masks(
    labels: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    masks: Mapping[str, NDArray[np.uint8]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
    parts: Parts | None = None,
    image: NDArray[Any] | None = None,
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
                pairs.append(
                    TargetPair(
                        target=number,
                        maps=(reference, mask),
                        contents=(one, two),
                        shared=int(shared[number]),
                        tolerance_mm=float(tolerances[name]),
                    )
                )
            measured.update(_measured(names, pairs, parts or {}, lattice, crew, image))
    return {name: measured[name] for name in targets}


def measure(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    spacing: Sequence[float],
    tolerance_mm: float,
    threads: int = 1,
    parts: Collection[Part] = (),
    image: NDArray[Any] | None = None,
) -> Measures:
    """Measure one pair of 0/1 masks of one shape (bool or integer); units and errors as in ``measure_labels``."""
    measured = measure_labels(
        reference,
        prediction,
        {"mask": (1,)},
        spacing,
        {"mask": tolerance_mm},
        threads,
        parts={"mask": parts},
        image=image,
    )
    return measured["mask"]


def labels_in(volume: NDArray[Any]) -> list[int]:
    """The labels other than 0 in a label map of any integers; raises ValueError where there are more than 65535."""
    lying = volume if volume.flags.c_contiguous else np.ascontiguousarray(volume.T)
    found = present_labels(lying.reshape(-1), MOST_LABELS)
    if len(found) > MOST_LABELS:
        raise ValueError(f"more than {MOST_LABELS} labels")
    return sorted(int(label) for label in found if label)


def _measured(
    names: Sequence[str],
    pairs: list[TargetPair],
    parts: Parts,
    lattice: Lattice,
    crew: Workers,
    image: NDArray[Any] | None,
) -> dict[str, Measures]:
    """Each target's measures by name, with the parts that it asks for."""
    made = dict(zip(names, measure_targets(pairs, lattice, crew), strict=True))
    asked = [(name, pair) for name, pair in zip(names, pairs, strict=True) if parts.get(name)]
    tasks = [(made[name], parts[name], pair, lattice, image) for name, pair in asked]
    return made | dict(zip((name for name, _ in asked), crew.run(add_parts, tasks), strict=True))


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
