"""Lesions counted one by one: connected pieces of the two masks, which of them meet, and how well.

Pieces are joined over faces and edges (18 neighbours; in 2-D over corners too, 8), as autoPET's evaluation joins them
(Gatidis et al., Scientific Data 9:601, 2022), from which also come the volumes of false pieces. Two pieces are a match
where their IoU is above 0.5, which no piece can have with two others, and panoptic quality follows (Kirillov et al.,
CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.imaging.connected_components import component_overlaps, target_components
from evaluator.metrics.kernels.label_grid import lay_out, make_lattice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import Labelled

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """How a target's predicted pieces meet those of its reference."""

    reference: int
    prediction: int
    #: pairs of pieces with an IoU above 0.5, and the sum of their IoUs
    matched: int
    matched_iou: float
    #: predicted pieces that touch no voxel of the reference, and reference pieces that no prediction touches
    false: int
    missed: int
    false_ml: float
    missed_ml: float


def measure_lesions(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float]
) -> Lesions:
    """Count the lesions of a pair of 0/1 masks (bool or integer) of one shape, 2-D or 3-D, ``spacing`` in mm.

    Raises ValueError for shapes that differ, TypeError for masks that are no integers.
    """
    lattice = make_lattice(reference, spacing)
    maps = [lay_out(mask, lattice, [(1,)]) for mask in (reference, prediction)]
    box = np.array([(0, 0, 0), maps[0].voxels.shape])
    return count_lesions(maps[0], maps[1], 1, box, lattice.voxel_ml)


def count_lesions(
    reference: Labelled, prediction: Labelled, target: int, box: NDArray[np.int64], voxel_ml: float
) -> Lesions:
    """Count one target's lesions in two label maps within a box that holds them, (2, 3) first and last + 1 voxel."""
    in_reference, in_prediction = (
        target_components(label_grid.voxels, label_grid.table, target, box)
        for label_grid in (reference, prediction)
    )
    a, b, shared = component_overlaps(in_reference, in_prediction)
    ious = shared / (in_reference.voxels[a] + in_prediction.voxels[b] - shared)
    missed = np.setdiff1d(np.arange(in_reference.voxels.size), a)
    false = np.setdiff1d(np.arange(in_prediction.voxels.size), b)
    return Lesions(
        reference=in_reference.voxels.size,
        prediction=in_prediction.voxels.size,
        matched=int((ious > MATCH_IOU).sum()),
        matched_iou=fsum(ious[ious > MATCH_IOU]),
        false=false.size,
        missed=missed.size,
        false_ml=float(in_prediction.voxels[false].sum() * voxel_ml),
        missed_ml=float(in_reference.voxels[missed].sum() * voxel_ml),
    )
