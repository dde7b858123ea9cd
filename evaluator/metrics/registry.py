"""Scores of a target by the metrics of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.metrics.metric_table import METRICS
from evaluator.types import Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from evaluator.metrics.measurements import Measurement, Measures
    from evaluator.metrics.metric_table import Metric
    from evaluator.types import Protocol

SCORER_VERSION = 2
"""Raised when the scores of the same files change.

2: slack for the rounding of headers, units of space and shear, volumes of one slice as planes.
"""

#: statuses that do not describe the model
NOT_EVALUATED = (ScoreStatus.UNDEFINED, ScoreStatus.NOT_RUN, ScoreStatus.NOT_APPLICABLE)


def score(measures: Measures, names: Sequence[str]) -> tuple[Score, ...]:
    """The scores of these metrics.

    A metric that needs a measurement which the measures lack is ``not-applicable``. If both masks
    are empty, every metric is ``undefined``. A plane has no metric in millilitres. If one is empty,
    overlaps are 0 and distances are ``one-empty``.

    Args:
        measures: of one target.
        names: names of ``METRICS``.

    Returns:
        In the order of the names: a finite value, or a status that says why there is none.
    """
    return tuple(_score(METRICS[name], measures) for name in names)


def without_value(
    names: Sequence[str], status: str, measurements: Collection[Measurement]
) -> tuple[Score, ...]:
    """The scores of a prediction that could not be measured.

    Args:
        names: names of ``METRICS``.
        status: the prediction's status.
        measurements: those that have a meaning; a metric that needs another is
            ``not-applicable``.
    """
    meaningful = (None, *measurements)
    return tuple(
        Score(
            metric=name,
            value=None,
            status=status
            if METRICS[name].measurement in meaningful
            else ScoreStatus.NOT_APPLICABLE,
        )
        for name in names
    )


def _score(metric: Metric, measures: Measures) -> Score:
    value = None
    if (metric.measurement and getattr(measures, metric.measurement) is None) or (
        measures.plane and metric.of_volume
    ):
        status = ScoreStatus.NOT_APPLICABLE
    elif measures.both_empty:
        status = ScoreStatus.UNDEFINED
    else:
        value = metric.function(measures)
        status = ScoreStatus.ONE_EMPTY if value is None else ScoreStatus.OK
    return Score(metric=metric.name, value=value, status=status)


def failure_value(metric: str, protocol: Protocol) -> float | None:
    """The value that a failure counts as.

    Returns:
        The metric's worst value; for a distance the protocol's cap; None where neither is finite.
    """
    row = METRICS[metric]
    if np.isfinite(row.worst):
        return row.worst
    return protocol.distance_cap_mm if row.unit == "mm" else None
