"""The value of each metric, from what was counted.

Functions are never called where both masks are empty. They return None where one of the masks is
empty and the metric has no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluator.metrics.kernels.skeleton import CentreLines
    from evaluator.metrics.lesions import Lesions
    from evaluator.metrics.measurements import Measures
    from evaluator.metrics.uptake import Uptake


def dice(measures: Measures) -> float:
    """Twice the shared voxels, divided by the voxels of both masks."""
    return 2 * measures.shared_voxels / (measures.reference_voxels + measures.prediction_voxels)


def iou(measures: Measures) -> float:
    """The shared voxels, divided by the voxels in either mask."""
    shared = measures.shared_voxels
    return shared / (measures.reference_voxels + measures.prediction_voxels - shared)


def nsd(measures: Measures) -> float:
    """The area within tolerance, divided by the area, of both surfaces; 0 if one is absent."""
    reference, prediction = measures.reference, measures.prediction
    return (reference.area_within + prediction.area_within) / (reference.area + prediction.area)


def hd(measures: Measures) -> float | None:
    """The larger of the two directed maximum distances, mm."""
    return (
        None
        if measures.one_empty
        else max(measures.reference.farthest, measures.prediction.farthest)
    )


def hd95(measures: Measures) -> float | None:
    """The larger of the two directed 95th percentiles of distance, mm."""
    return (
        None
        if measures.one_empty
        else max(measures.reference.percentile_95, measures.prediction.percentile_95)
    )


def assd(measures: Measures) -> float | None:
    """The mean distance over the area of both surfaces, mm."""
    reference, prediction = measures.reference, measures.prediction
    if measures.one_empty:
        return None
    return (reference.moment + prediction.moment) / (reference.area + prediction.area)


def masd(measures: Measures) -> float | None:
    """The mean of the two directed mean distances, mm."""
    return None if measures.one_empty else (measures.reference.mean + measures.prediction.mean) / 2


def rve(measures: Measures) -> float | None:
    """The volume's excess, divided by the reference's volume; None without a reference."""
    if not measures.reference_voxels:
        return None
    return (measures.prediction_voxels - measures.reference_voxels) / measures.reference_voxels


def volume_error(measures: Measures) -> float:
    """The volume's excess, ml."""
    return (measures.prediction_voxels - measures.reference_voxels) * measures.voxel_ml


def cldice(measures: Measures) -> float:
    """Harmonic mean of the shares of the two centre lines in the other mask; 0 if one is 0."""
    lines = _lines(measures)
    if not lines.reference_inside or not lines.prediction_inside:
        return 0.0
    precision = lines.prediction_inside / lines.prediction
    sensitivity = lines.reference_inside / lines.reference
    return 2 * precision * sensitivity / (precision + sensitivity)


def lesion_f1(measures: Measures) -> float:
    """Twice the matched components, divided by the components of both masks."""
    lesions = _lesions(measures)
    return 2 * lesions.matched / (lesions.reference + lesions.prediction)


def panoptic_quality(measures: Measures) -> float:
    """The matches' mean IoU times F1."""
    lesions = _lesions(measures)
    return 2 * lesions.matched_iou / (lesions.reference + lesions.prediction)


def false_lesions(measures: Measures) -> float:
    """The number of predicted components that touch no reference."""
    return float(_lesions(measures).false)


def missed_lesions(measures: Measures) -> float:
    """The number of reference components that no prediction touches."""
    return float(_lesions(measures).missed)


def false_lesion_volume(measures: Measures) -> float:
    """Volume of the predicted components that touch no reference, ml."""
    return _lesions(measures).false_ml


def missed_lesion_volume(measures: Measures) -> float:
    """Volume of the reference components that no prediction touches, ml."""
    return _lesions(measures).missed_ml


def mtv_error(measures: Measures) -> float:
    """The metabolic volume's excess, ml."""
    uptake = _uptake(measures)
    return uptake.prediction.ml - uptake.reference.ml


def tlg_error(measures: Measures) -> float:
    """The excess of total lesion glycolysis, SUV times ml."""
    uptake = _uptake(measures)
    return uptake.prediction.glycolysis - uptake.reference.glycolysis


def suvmean_error(measures: Measures) -> float | None:
    """The mean uptake's excess, SUV."""
    uptake = _uptake(measures)
    return None if measures.one_empty else uptake.prediction.mean - uptake.reference.mean


def suvmax_error(measures: Measures) -> float | None:
    """The highest voxel's excess, SUV."""
    uptake = _uptake(measures)
    return None if measures.one_empty else uptake.prediction.max - uptake.reference.max


def suvpeak_error(measures: Measures) -> float | None:
    """The highest 1 ml sphere's excess, SUV."""
    uptake = _uptake(measures)
    return None if measures.one_empty else uptake.prediction.peak - uptake.reference.peak


def _lines(measures: Measures) -> CentreLines:
    assert measures.centre_lines is not None
    return measures.centre_lines


def _lesions(measures: Measures) -> Lesions:
    assert measures.lesions is not None
    return measures.lesions


def _uptake(measures: Measures) -> Uptake:
    assert measures.uptake is not None
    return measures.uptake
