"""Scores of predicted masks against a scan's references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.imaging.geometry import affine_of, plane_axes, sheared_axes, spacing
from evaluator.imaging.grid_masks import common_region
from evaluator.manifests.organs import load_organs
from evaluator.metrics.kernels.sheared_grid import index_reach
from evaluator.metrics.registry import score as score_measures
from evaluator.metrics.registry import without_value
from evaluator.metrics.target_measurement import measure
from evaluator.metrics.uptake import PEAK_MM
from evaluator.scoring.applicability import applicable_measurements
from evaluator.types import Failure, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.datasets.references import LoadedReferences
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.metrics.measurements import Measurement, Measures
    from evaluator.types import Protocol, Scan


def score_masks(
    references: LoadedReferences, predictions: Mapping[str, GridMask | Failure], protocol: Protocol
) -> dict[str, tuple[Score, ...]]:
    """The protocol's scores of one round.

    Args:
        references: of the scan, on one grid.
        predictions: target -> a mask on the references' grid, or why there is none.
        protocol: its metrics and tolerances.

    Returns:
        target -> one score for each metric of the protocol; of a failure its status.
    """
    failures = {
        target: prediction
        for target, prediction in predictions.items()
        if isinstance(prediction, Failure)
    }
    scores = score_failures(failures, protocol, references.scan)
    for target, tolerance in tolerances(protocol, predictions).items():
        prediction = predictions[target]
        if not isinstance(prediction, Failure):
            measurements = applicable_measurements(protocol.metrics, target, references.scan.unit)
            measures = measure_prediction(
                references, references.masks[target], prediction, tolerance, measurements
            )
            scores[target] = score_measures(measures, protocol.metrics)
    return scores


def score_failures(
    failures: Mapping[str, Failure], protocol: Protocol, scan: Scan
) -> dict[str, tuple[Score, ...]]:
    """The scores of failed predictions, which need no reference."""
    return {
        target: scores_without_value(protocol, scan, target, failure.status)
        for target, failure in failures.items()
    }


def scores_without_value(
    protocol: Protocol, scan: Scan, target: str, status: str
) -> tuple[Score, ...]:
    """One score without a value for each metric, with this status or ``not-applicable``."""
    return without_value(
        protocol.metrics, status, applicable_measurements(protocol.metrics, target, scan.unit)
    )


def tolerances(protocol: Protocol, targets: Mapping[str, object]) -> dict[str, float]:
    """The NSD tolerance of each target in millimetres: the protocol's, or the organ's."""
    organs = load_organs()
    return {target: protocol.nsd_tolerance_mm or organs.tolerance_mm(target) for target in targets}


def measure_prediction(
    references: LoadedReferences,
    reference: GridMask,
    prediction: GridMask,
    tolerance_mm: float,
    measurements: frozenset[Measurement],
) -> Measures:
    """Measure one mask in the box around it and its reference.

    Outside of the box both are empty, so nothing is lost.

    Args:
        references: of the scan; with its image if uptake is measured.
        reference: the target's reference.
        prediction: a mask on the same grid.
        tolerance_mm: of the normalised surface distance.
        measurements: what to measure beyond voxels and surfaces.
    """
    low, high = common_region(reference, prediction)
    affine, image = affine_of(references.grid), None
    if "uptake" in measurements:
        assert references.image is not None
        # the sphere of SUVpeak reaches beyond the box
        reach = index_reach(affine[:3, :3], PEAK_MM)
        shape = references.grid.shape
        a, b, c = (max(0, start - r) for start, r in zip(low, reach, strict=True))
        d, e, f = (min(n, end + r) for n, end, r in zip(shape, high, reach, strict=True))
        low, high = (a, b, c), (d, e, f)
        image = references.image[a:d, b:e, c:f]
    axes = plane_axes(references.grid)
    steps = spacing(affine)
    return measure(
        _as_plane(reference.crop(low, high), axes),
        _as_plane(prediction.crop(low, high), axes),
        tuple(steps[axis] for axis in axes),
        tolerance_mm,
        measurements=measurements,
        image=None if image is None else _as_plane(image, axes),
        sheared_axes=sheared_axes(affine, axes),
    )


def _as_plane(array: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    """An array with these axes of its three; the other has one voxel, or none in an empty box."""
    if len(axes) == 3 or array.size == 0:
        return array if len(axes) == 3 else array.reshape((0, 0))
    (thin,) = set(range(3)) - set(axes)
    plane: NDArray[Any] = array.take(0, axis=thin)
    return plane
