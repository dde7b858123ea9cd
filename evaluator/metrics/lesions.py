"""Lesions counted one by one: connected components of the two masks, and how well they match.

Components are joined over faces and edges (18 neighbours; in 2-D over corners too, 8), as in
autoPET's evaluation (Gatidis et al., Scientific Data 9:601, 2022), which also defines the volumes
of false components. Two components match where their IoU is above 0.5. No component can match two
others, and panoptic quality follows (Kirillov et al., CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.imaging.connected_components import component_overlaps, target_components
from evaluator.metrics.kernels.label_grid import make_voxel_grid, to_label_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.kernels.label_grid import LabelGrid

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """How the components of a target's prediction match those of its reference."""

    reference: int
    prediction: int
    #: pairs of components with an IoU above 0.5, and the sum of their IoUs
    matched: int
    matched_iou: float
    #: predicted components that touch no voxel of the reference, and reference components that no
    #: prediction touches
    false: int
    missed: int
    false_ml: float
    missed_ml: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionSizes:
    """Every component of a pair of masks with its volume, and how it was found."""

    #: volume of each reference component, ml
    reference_ml: tuple[float, ...]
    #: whether the prediction has a voxel of each reference component
    touched: tuple[bool, ...]
    #: whether each reference component has an IoU above 0.5 with a predicted component
    matched: tuple[bool, ...]
    #: volume of each predicted component that touches no voxel of the reference, ml
    false_ml: tuple[float, ...]


def list_lesions(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float]
) -> LesionSizes:
    """List the lesions of a pair of 0/1 masks; see ``measure_lesions``."""
    voxel_grid = make_voxel_grid(reference, spacing)
    maps = [to_label_grid(mask, voxel_grid, [(1,)]) for mask in (reference, prediction)]
    box = np.array([(0, 0, 0), maps[0].voxels.shape])
    in_reference, in_prediction = (
        target_components(label_grid.voxels, label_grid.table, 1, box) for label_grid in maps
    )
    a, b, shared = component_overlaps(in_reference, in_prediction)
    ious = shared / (in_reference.voxels[a] + in_prediction.voxels[b] - shared)
    numbers = np.arange(in_reference.voxels.size)
    false = np.setdiff1d(np.arange(in_prediction.voxels.size), b)
    return LesionSizes(
        reference_ml=tuple((in_reference.voxels * voxel_grid.voxel_ml).tolist()),
        touched=tuple(np.isin(numbers, a).tolist()),
        matched=tuple(np.isin(numbers, a[ious > MATCH_IOU]).tolist()),
        false_ml=tuple((in_prediction.voxels[false] * voxel_grid.voxel_ml).tolist()),
    )


def measure_lesions(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float]
) -> Lesions:
    """Count the lesions of a pair of 0/1 masks.

    Args:
        reference: bool or integer, two or three axes.
        prediction: a mask of the same shape.
        spacing: millimetres along the axes.

    Raises:
        ValueError: shapes differ.
        TypeError: masks are not integers.
    """
    voxel_grid = make_voxel_grid(reference, spacing)
    maps = [to_label_grid(mask, voxel_grid, [(1,)]) for mask in (reference, prediction)]
    box = np.array([(0, 0, 0), maps[0].voxels.shape])
    return count_lesions(maps[0], maps[1], 1, box, voxel_grid.voxel_ml)


def count_lesions(
    reference: LabelGrid,
    prediction: LabelGrid,
    target: int,
    box: NDArray[np.int64],
    voxel_ml: float,
) -> Lesions:
    """Count one target's lesions in two label maps.

    Args:
        reference: label map.
        prediction: label map on the same grid.
        target: the target's number in both maps.
        box: first and last + 1 voxel, (2, 3), of a box that holds the target in both maps.
        voxel_ml: volume of a voxel.
    """
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
