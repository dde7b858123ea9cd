"""Scores of one metric as an array by model, target, modality and unit.

A unit is one session of a subject under one seed. Statistics are over subjects:
``ScoreArray.per_subject`` averages a subject's units first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.subject_means import mean_by_subject, sum_by_subject
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import NOT_EVALUATED, failure_value
from evaluator.runs.tables import BLIND_COLUMNS
from evaluator.types import MODALITIES, Modality, ScoreStatus, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.types import Protocol

#: failed predictions are included as the protocol defines, or excluded
INCLUDED, EXCLUDED = "counted", "excluded"
FAILURE_RULES = (INCLUDED, EXCLUDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreArray:
    """Arrays of shape (models, targets, modalities, units).

    Modalities are in the order of ``MODALITIES``. Units are sorted by subject.
    """

    metric: str
    models: tuple[str, ...]
    targets: tuple[str, ...]
    #: by name in ``FAILURE_RULES``: the scores in the metric's unit, NaN where there is none
    values: dict[str, NDArray[np.float64]]
    #: a prediction was requested, with or without a mask as the result
    attempted: NDArray[np.bool_]
    #: a prediction was requested and there is no mask; not one that is unsupported
    failed: NDArray[np.bool_]
    #: the model does not support the modality, prompt or target, so there is no score
    unsupported: NDArray[np.bool_]
    #: no prediction could be requested or scored because of the data
    excluded: NDArray[np.bool_]
    #: failed, or the score has the value that a failure counts as (an empty mask, a Dice of 0)
    at_worst: NDArray[np.bool_]
    #: the value that a failure counts as; NaN: the metric has none
    failure_value: float
    #: score of an image-blind answer to the same prompt, and what the grid allows; NaN: unknown
    floor: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    #: name -> scores of that image-blind answer; only of answers that have scores
    blind: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    #: (units,) the number of each unit's subject
    subject: NDArray[np.int64]
    #: (modalities, units) the unit's case has a scan of the modality
    has: NDArray[np.bool_]

    @property
    def subjects(self) -> int:
        """The number of subjects."""
        return int(self.subject[-1]) + 1 if len(self.subject) else 0

    def per_subject(self, values: Any) -> Any:
        """Average each subject's units, (..., units) to (..., subjects); NaN where all are NaN."""
        return mean_by_subject(values, self.subject)

    def count(self, values: Any) -> Any:
        """Sum over each subject's units, (..., units) to (..., subjects)."""
        return sum_by_subject(values, self.subject)


def make_score_array(
    scores: pd.DataFrame,
    metric: str,
    protocol: Protocol,
    models: Sequence[str],
    *,
    magnitude: bool = True,
) -> ScoreArray:
    """Arrange the scores of one metric by model, target, modality and unit.

    The arrays of several metrics from the same scores have the same models, targets and units.

    Args:
        scores: Score rows of one dataset under one protocol, with one round for each model, case,
            modality, target and seed. Text columns are categories.
        metric: Name of the metric.
        protocol: Defines what a failed prediction counts as.
        models: Labels of the models.
        magnitude: Use the magnitude of a signed metric.
    """
    labels = tuple(sorted(models))
    targets = tuple(sorted(map(str, scores["target"].unique())))
    units, subject = _units(scores)
    has = np.zeros((len(MODALITIES), len(subject)), dtype=bool)
    has[_codes(scores["modality"], MODALITIES), units] = True
    selected = (scores["metric"] == metric).to_numpy()
    rows = scores[selected]
    shape = (len(labels), len(targets), len(MODALITIES), len(subject))
    axes = (
        _codes(rows["model"], labels),
        _codes(rows["target"], targets),
        _codes(rows["modality"], MODALITIES),
        units[selected],
    )
    index = np.ravel_multi_index(axes, shape)
    status = rows["status"]
    excluded = status.isin([str(name) for name in NOT_EVALUATED]).to_numpy()
    unsupported = (status == Status.UNSUPPORTED).to_numpy()
    with_mask = status.isin((ScoreStatus.OK, ScoreStatus.ONE_EMPTY)).to_numpy()
    failed = ~(with_mask | excluded | unsupported)
    scored, worst = _values(rows, metric, protocol, magnitude=magnitude)
    floor, ceiling = (
        _limit(rows[name], metric, magnitude=magnitude) for name in ("floor", "ceiling")
    )
    blind = {
        " or ".join(names): _limit(rows[column], metric, magnitude=magnitude)
        for column, names in BLIND_COLUMNS.items()
    }
    failures_are_worst = protocol.failures_count_as == "worst"
    values = {
        INCLUDED: np.where(failed & failures_are_worst, worst, scored),
        EXCLUDED: scored,
    }
    return ScoreArray(
        metric=metric,
        models=labels,
        targets=targets,
        values={rule: _filled(shape, index, column) for rule, column in values.items()},
        attempted=_marked(shape, index, ~excluded),
        failed=_marked(shape, index, failed),
        unsupported=_marked(shape, index, unsupported),
        excluded=_marked(shape, index, excluded),
        at_worst=_marked(shape, index, ~excluded & (failed | (scored == worst))),
        failure_value=worst,
        floor=_filled(shape, index, floor),
        ceiling=_filled(shape, index, ceiling),
        blind={
            name: _filled(shape, index, values)
            for name, values in blind.items()
            if not np.isnan(values).all()
        },
        subject=subject,
        has=has,
    )


def _units(scores: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the unit of each row, and the number of each unit's subject."""
    groups = scores.groupby(["subject", "case", "seed"], observed=True, sort=True)
    units = groups.ngroup().to_numpy().astype(np.int64)
    codes = scores["subject"].cat.codes.groupby(units).first().to_numpy()
    subject = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return units, subject


def _values(
    rows: pd.DataFrame, metric: str, protocol: Protocol, *, magnitude: bool
) -> tuple[NDArray[np.float64], float]:
    """Return the score of each row, NaN for a failure, and the value that a failure counts as."""
    value = rows["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    if METRICS[metric].signed and magnitude:
        value = np.abs(value)
    of_failure = failure_value(metric, protocol)
    worst = np.nan if of_failure is None else of_failure
    worst = abs(worst) if magnitude else worst
    with_score = (rows["status"] == ScoreStatus.OK).to_numpy()
    one_empty = (rows["status"] == ScoreStatus.ONE_EMPTY).to_numpy()
    return np.where(one_empty, worst, np.where(with_score, value, np.nan)), worst


def _limit(column: pd.Series[Any], metric: str, *, magnitude: bool) -> NDArray[np.float64]:
    """Return the floor or the ceiling of each row, NaN where it is unknown."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.abs(values) if METRICS[metric].signed and magnitude else values


def _codes(
    column: pd.Series[Any], names: tuple[str, ...] | tuple[Modality, ...]
) -> NDArray[np.int64]:
    """Return the position of each value among the names."""
    positions = pd.Index(list(names)).get_indexer(column.cat.categories)
    codes: NDArray[np.int64] = positions[column.cat.codes]
    return codes


def _filled(
    shape: tuple[int, ...], index: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    array = np.full(shape, np.nan)
    array.flat[index] = values
    return array


def _marked(
    shape: tuple[int, ...], index: NDArray[np.int64], marks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    array = np.zeros(shape, dtype=bool)
    array.flat[index] = marks
    return array
