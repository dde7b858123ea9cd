"""Lesions counted one by one: connected pieces of the two masks, which of them meet, and how well.

Pieces are joined over faces and edges (18 neighbours; in 2-D over corners too, 8), as autoPET's evaluation joins them
(Gatidis et al., Scientific Data 9:601, 2022), from which also come the volumes of false pieces. Two pieces are a match
where their IoU is above 0.5, which no piece can have with two others, and panoptic quality follows (Kirillov et al.,
CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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

    @property
    def f1(self) -> float | None:
        """Twice the matches by the pieces of both; None without any piece."""
        pieces = self.reference + self.prediction
        return 2 * self.matched / pieces if pieces else None

    @property
    def panoptic_quality(self) -> float | None:
        """The matches' mean IoU times F1; None without any piece."""
        pieces = self.reference + self.prediction
        return 2 * self.matched_iou / pieces if pieces else None


def measure_lesions(reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float]) -> Lesions:
    """Count the lesions of a pair of masks (nonzero is inside) of one shape, 2-D or 3-D, ``spacing`` in mm."""
    if reference.shape != prediction.shape or len(spacing) != reference.ndim or reference.ndim not in (2, 3):
        raise ValueError(f"need two masks of one shape: {reference.shape}, {prediction.shape}, {len(spacing)} spacings")
    joined = ndimage.generate_binary_structure(reference.ndim, 2)
    (ours, count), (theirs, predicted) = (ndimage.label(mask, joined) for mask in (reference, prediction))
    sizes = np.bincount(ours.ravel(), minlength=count + 1)
    predicted_sizes = np.bincount(theirs.ravel(), minlength=predicted + 1)
    both = (ours > 0) & (theirs > 0)
    pairs, shared = np.unique(np.stack([ours[both], theirs[both]]), axis=1, return_counts=True)
    ious = shared / (sizes[pairs[0]] + predicted_sizes[pairs[1]] - shared)
    missed = np.setdiff1d(np.arange(1, count + 1), pairs[0])
    false = np.setdiff1d(np.arange(1, predicted + 1), pairs[1])
    voxel_ml = prod(spacing) / 1000
    return Lesions(
        reference=int(count),
        prediction=int(predicted),
        matched=int((ious > MATCH_IOU).sum()),
        matched_iou=fsum(ious[ious > MATCH_IOU]),
        false=int(false.size),
        missed=int(missed.size),
        false_ml=float(predicted_sizes[false].sum() * voxel_ml),
        missed_ml=float(sizes[missed].sum() * voxel_ml),
    )
