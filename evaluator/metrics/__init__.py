"""Scores of masks against references, exact, for all targets of a scan at once.

Surfaces are defined as in DeepMind's surface-distance (``evaluator.metrics.kernels.surface_area``).
Names are imported when they are first used, so the table of metrics needs no compiled code.
"""

from typing import TYPE_CHECKING

from evaluator.lazy_names import lazy_names

if TYPE_CHECKING:
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
    from evaluator.metrics.target_measurement import (
        labels_in,
        measure,
        measure_labels,
        measure_masks,
    )
    from evaluator.metrics.uptake import PEAK_MM

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

__getattr__ = lazy_names(
    __name__,
    {
        "METRICS": "metric_table",
        "Metric": "metric_table",
        "NOT_EVALUATED": "registry",
        "SCORER_VERSION": "registry",
        "failure_value": "registry",
        "score": "registry",
        "without_value": "registry",
        "PEAK_MM": "uptake",
        "LesionSizes": "lesions",
        "Lesions": "lesions",
        "list_lesions": "lesions",
        "measure_lesions": "lesions",
        "Measurement": "measurements",
        "Measures": "measurements",
        "Surface": "kernels.surface_statistics",
        "index_reach": "kernels.sheared_grid",
        "labels_in": "target_measurement",
        "measure": "target_measurement",
        "measure_labels": "target_measurement",
        "measure_masks": "target_measurement",
    },
)
