"""Scores of masks against references, exact, for all targets of a scan at once.

Surfaces are defined as in DeepMind's surface-distance (``evaluator.metrics.kernels.surface_area``).
"""

from evaluator.metrics.kernels.sheared_grid import index_reach
from evaluator.metrics.kernels.surface_statistics import Surface
from evaluator.metrics.lesions import Lesions, LesionSizes, list_lesions, measure_lesions
from evaluator.metrics.measurements import Measurement, Measures
from evaluator.metrics.metric_table import METRICS, Metric
from evaluator.metrics.registry import (
    NOT_EVALUATED,
    SCORER_VERSION,
    failure_value,
    score,
    without_value,
)
from evaluator.metrics.target_measurement import labels_in, measure, measure_labels, measure_masks
from evaluator.metrics.uptake import SPHERE_MM as PEAK_MM

__all__ = [
    "METRICS",
    "NOT_EVALUATED",
    "PEAK_MM",
    "SCORER_VERSION",
    "LesionSizes",
    "Lesions",
    "Measurement",
    "Measures",
    "Metric",
    "Surface",
    "failure_value",
    "index_reach",
    "labels_in",
    "list_lesions",
    "measure",
    "measure_labels",
    "measure_lesions",
    "measure_masks",
    "score",
    "without_value",
]
