"""Scores of one metric as arrays by model, target, modality and unit (a session under a seed), failures filled in or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.metrics import METRICS
from evaluator.metrics.registry import NOT_EVALUATED, failure_value
from evaluator.types import MODALITIES, Modality, ScoreStatus, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.runs.results import Group

COUNTED, LEFT_OUT = "counted", "left out"
FAILURES = (COUNTED, LEFT_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """Arrays (models, targets, modalities, units), modalities as in ``MODALITIES``; units in the order of subjects."""

    metric: str
    models: tuple[str, ...]
    targets: tuple[str, ...]
    #: by name in ``FAILURES``: the values, NaN where there is none; signed metrics by magnitude
    values: dict[str, NDArray[np.float64]]
    #: there is a prediction, with a mask or without
    asked: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    unsupported: NDArray[np.bool_]
    #: nothing could be asked or scored, for the data's sake
    excluded: NDArray[np.bool_]
    #: (units,) the number of each unit's subject
    subject: NDArray[np.int64]
    #: (modalities, units) the unit's case has a scan of the modality
    has: NDArray[np.bool_]

    @property
    def subjects(self) -> int:
        """How many there are."""
        return int(self.subject[-1]) + 1 if len(self.subject) else 0

    def per_subject(self, values: Any) -> Any:
        """Mean over each subject's units, (..., units) to (..., subjects); NaN where all are."""
        sums, counts = self.count(np.nan_to_num(values)), self.count(~np.isnan(values))
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums / counts

    def count(self, values: Any) -> Any:
        """Sum over each subject's units, (..., units) to (..., subjects)."""
        if not len(self.subject):
            return np.zeros((*values.shape[:-1], 0))
        starts = np.flatnonzero(np.diff(self.subject, prepend=-1))
        return np.add.reduceat(values.astype(np.float64), starts, axis=-1)


def make_cube(group: Group, scores: pd.DataFrame, metric: str) -> Cube:
    """The cube of one metric from a group's scores, of which each model, case, modality, target and seed has one round.

    The cubes of a group's metrics have the same models, targets and units.
    """
    units = (
        scores.groupby(["subject", "case", "seed"], observed=True, sort=True).ngroup().to_numpy()
    )
    subject = np.unique(
        scores["subject"].cat.codes.groupby(units).first().to_numpy(), return_inverse=True
    )[1]
    models = tuple(sorted(run.label for run in group.results.runs))
    targets = tuple(sorted(map(str, scores["target"].unique())))
    has = np.zeros((len(MODALITIES), len(subject)), dtype=bool)
    has[_codes(scores["modality"], MODALITIES), units] = True
    chosen = (scores["metric"] == metric).to_numpy()
    own, unit = scores[chosen], units[chosen]
    shape = (len(models), len(targets), len(MODALITIES), len(subject))
    place = np.ravel_multi_index(
        (
            _codes(own["model"], models),
            _codes(own["target"], targets),
            _codes(own["modality"], MODALITIES),
            unit,
        ),
        shape,
    )
    status = own["status"]
    value = own["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    ok, one_empty = (
        (status == ScoreStatus.OK).to_numpy(),
        (status == ScoreStatus.ONE_EMPTY).to_numpy(),
    )
    excluded = status.isin([str(one) for one in NOT_EVALUATED]).to_numpy()
    failed = ~(ok | one_empty | excluded)
    if METRICS[metric].signed:
        value = np.abs(value)
    worst = failure_value(metric, group.protocol)
    worst = np.nan if worst is None else abs(worst)
    value = np.where(one_empty, worst, np.where(ok, value, np.nan))
    counted = np.where(failed & (group.protocol.failures_count_as == "worst"), worst, value)
    return Cube(
        metric=metric,
        models=models,
        targets=targets,
        values={COUNTED: _filled(shape, place, counted), LEFT_OUT: _filled(shape, place, value)},
        asked=_marked(shape, place, ~excluded),
        failed=_marked(shape, place, failed),
        unsupported=_marked(shape, place, (status == Status.UNSUPPORTED).to_numpy()),
        excluded=_marked(shape, place, excluded),
        subject=subject,
        has=has,
    )


def _codes(
    column: pd.Series[Any], names: tuple[str, ...] | tuple[Modality, ...]
) -> NDArray[np.int64]:
    """Place of each value among the names."""
    places: NDArray[np.int64] = pd.Index(list(names)).get_indexer(column.cat.categories)[
        column.cat.codes
    ]
    return places


def _filled(
    shape: tuple[int, ...], place: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    array = np.full(shape, np.nan)
    array.flat[place] = values
    return array


def _marked(
    shape: tuple[int, ...], place: NDArray[np.int64], marks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    array = np.zeros(shape, dtype=bool)
    array.flat[place] = marks
    return array
