"""Score arrays: the scorer as a library, without files, runs or manifests.

Of third-party packages, this module and all that it imports need numpy, scipy and numba.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from evaluator.errors import UserError
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import labels_in, measure_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.measurements import Measurement
    from evaluator.types import Score

METRIC_NAMES = ("dice", "nsd", "hd95", "assd")
"""The metrics unless others are named."""


def score_arrays(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    spacing: Sequence[float],
    *,
    tolerance_mm: float | Mapping[str, float],
    labels: Mapping[str, int | tuple[int, ...]] | None = None,
    metrics: Sequence[str] = METRIC_NAMES,
    image: NDArray[Any] | None = None,
    threads: int = 1,
) -> dict[str, dict[str, Score]]:
    """Score every label of a pair of masks or label maps.

    Args:
        reference: (x, y, z) or (x, y), integers or booleans, in any memory order.
        prediction: an array of the same shape.
        spacing: millimetres along the axes of the arrays, in their order. The axes are taken to be
            at right angles.
        tolerance_mm: of the normalised surface distance, for all labels or for each.
        labels: a name for each label, or for several labels that count as one; by default each
            label that is in either array, named by its number.
        metrics: names from docs/metrics.md.
        image: SUV of the same shape, for the metrics of uptake.
        threads: number of threads.

    Returns:
        For each name the scores by metric. A score has a ``value``, or None and a ``status`` that
        says why.

    Raises:
        UserError: a metric is unknown, or a label has no tolerance, or one that is negative or NaN.
        ValueError: shapes differ, or the spacing is not positive and finite.
        TypeError: labels are not integers.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        raise UserError(f"no metric is called {unknown[0]!r}; there are: {', '.join(METRICS)}")
    if labels is None:
        present = set(labels_in(reference)) | set(labels_in(prediction))
        labels = {str(label): label for label in sorted(present)}
    targets = {
        name: tuple(values) if isinstance(values, Iterable) else (values,)
        for name, values in labels.items()
    }
    if isinstance(tolerance_mm, Mapping):
        if missing := [name for name in targets if name not in tolerance_mm]:
            raise UserError(f"tolerance_mm has no value for {missing[0]!r}")
        tolerances = dict(tolerance_mm)
    else:
        tolerances = dict.fromkeys(targets, float(tolerance_mm))
    for name, tolerance in tolerances.items():
        if not tolerance >= 0:
            raise UserError(f"the tolerance of {name!r} must be 0 mm or more, not {tolerance}")
    measurements = _measurements(metrics, has_image=image is not None)
    measures = measure_labels(
        reference,
        prediction,
        targets,
        spacing,
        tolerances,
        threads,
        measurements=dict.fromkeys(targets, measurements),
        image=image,
    )
    return {
        name: dict(zip(metrics, score(of_target, metrics), strict=True))
        for name, of_target in measures.items()
    }


def _measurements(metrics: Sequence[str], *, has_image: bool) -> tuple[Measurement, ...]:
    """What to measure for these metrics; without an image, metrics of uptake have no value."""
    needed = {METRICS[name].measurement for name in metrics}
    return tuple(name for name in needed if name is not None and (name != "uptake" or has_image))
