"""The grid's part taken out of the difference between two modalities (``docs/statistics.md``).

Each scan has a floor, which an image-blind answer reaches, and a ceiling, which the grid allows. A
score counts up to the ceiling of the other image. The difference of a subject's scores is then
regressed on the difference of its floors: the slope tells how much the model depends on what the
grid does to an image-blind answer, and the intercept is the difference at equal floors. The same is
done with each image-blind answer in the place of the floor. The verdict of a model that is not
better than the floor needs all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.blind_answers import (
    FLOOR,
    allowed_by_all,
    arms_of_answers,
    beats_floor,
)
from evaluator.analysis.comparison.conclusions import conclude
from evaluator.analysis.comparison.paired_tests import adjusted_verdicts, paired_estimates
from evaluator.analysis.comparison.pairing import NO_ESTIMATE
from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.comparison.score_array import FAILURE_RULES, INCLUDED
from evaluator.analysis.comparison.subject_failures import SubjectFailures, subject_failures
from evaluator.analysis.comparison.subject_means import with_target_mean
from evaluator.metrics.metric_table import METRICS
from evaluator.statistics import without_covariate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.score_array import ScoreArray

    Floats = NDArray[np.float64]

#: the tables' name of each estimate
_NAMES = {
    "n": "controlled_n",
    "difference": "controlled_difference",
    "low": "controlled_low",
    "high": "controlled_high",
    # the test of the mean: pseudo-values differ in spread, which Wilcoxon's test does not allow
    "p_sign_flip": "controlled_p",
    "p_equivalence": "controlled_p_equivalence",
}
#: gains that are smaller than this are rounding
_ROUNDING = 1e-9


def add_grid_control(
    block: pd.DataFrame,
    score_array: ScoreArray,
    modalities: tuple[int, int],
    options: ComparisonOptions,
) -> pd.DataFrame:
    """Add floors, ceilings, controlled differences and conclusions to rows of raw differences.

    Args:
        block: The rows of one modality pair under both failure rules, judged.
        score_array: The scores that the rows are of.
        modalities: Numbers of the structural and the functional modality in ``MODALITIES``.
        options: The options of the raw differences.

    Returns:
        The rows in their order with the columns ``evaluator.analysis.comparison.schema.GRID``.
    """
    parts = []
    for failures in FAILURE_RULES:
        rows = block[block["failures"] == failures]
        by_key = _controlled(score_array, modalities, failures, options)
        added = rows[["model", "target"]].merge(by_key, on=["model", "target"], how="left")
        parts.append(rows.assign(**{name: added[name].to_numpy() for name in by_key.columns[2:]}))
    frame = pd.concat(parts).loc[block.index]
    frame = _with_verdicts(frame, score_array)
    frame["conclusion"], frame["grid_remark"] = zip(
        *(conclude(row, score_array.metric) for row in frame.to_dict("records")), strict=True
    )
    return frame


def _controlled(
    score_array: ScoreArray,
    modalities: tuple[int, int],
    failures: str,
    options: ComparisonOptions,
) -> pd.DataFrame:
    """Limits and controlled estimates by model and target."""
    scores, floors, ceilings = (
        [values[:, :, number] for number in modalities]
        for values in (score_array.values[failures], score_array.floor, score_array.ceiling)
    )
    used = ~np.isnan(sum([*scores, *floors, *ceilings]))
    score, ceiling = (
        [score_array.per_subject(np.where(used, values, np.nan)) for values in arms]
        for arms in (scores, ceilings)
    )
    answers = {
        name: [score_array.per_subject(values) for values in arms]
        for name, arms in arms_of_answers(score_array, modalities, used).items()
    }
    differences = _counted_difference(score, ceiling, score_array.metric)
    failed = None
    if failures == INCLUDED and not np.isnan(score_array.failure_value):
        failed = _failures(score_array, modalities, used)
    controlled = [
        _against(
            differences,
            _counted_difference(arms, ceiling, score_array.metric),
            score_array.metric,
            options,
            failed,
        )
        for arms in answers.values()
    ]
    above = beats_floor(
        [with_target_mean(values) for values in score],
        [with_target_mean(values) for values in answers[FLOOR]],
        higher_is_better=METRICS[score_array.metric].direction == "higher",
    ).ravel()
    estimates, chosen = allowed_by_all([against.estimates for against in controlled], above)
    targets = (*score_array.targets, ALL_TARGETS)
    columns: dict[str, Any] = {
        "model": np.repeat(score_array.models, len(targets)),
        "target": list(targets) * len(score_array.models),
    }
    for name, arms in (("floor", answers[FLOOR]), ("ceiling", ceiling)):
        for arm, values in zip(("structural", "functional"), arms, strict=True):
            columns[f"{name}_{arm}"] = _subject_mean(with_target_mean(values)).ravel()
    columns |= {column: estimates[name] for name, column in _NAMES.items()}
    slopes = np.stack([against.slope for against in controlled])
    columns["grid_dependence"] = np.take_along_axis(slopes, chosen[None], axis=0)[0]
    names = np.array(list(answers), dtype=object)[chosen]
    names[estimates["n"] == 0] = pd.NA
    columns["grid_answer"] = names
    nothing = np.any([against.is_nothing for against in controlled], axis=0)
    columns["no_difference"] = np.where(above, controlled[0].is_nothing, nothing)
    return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True)
class _Against:
    """Controlled differences against one image-blind answer, (c,) rows of models and targets."""

    estimates: dict[str, NDArray[Any]]
    #: NaN for the mean over targets
    slope: Floats
    #: the difference of every subject is 0
    is_nothing: NDArray[np.bool_]


def _against(
    differences: Floats,
    covariate: Floats,
    metric: str,
    options: ComparisonOptions,
    failed: tuple[SubjectFailures, SubjectFailures] | None,
) -> _Against:
    first, slope = _at_equal_floors(differences, covariate)
    first = with_target_mean(_without_rounding(first))
    first = first.reshape(-1, first.shape[-1])
    present = ~np.isnan(first)
    second = np.where(present, 0.0, np.nan)
    differs = (present & (first != 0)).any(axis=-1)
    overall = np.full((len(slope), 1), np.nan)
    return _Against(
        estimates=paired_estimates(first, second, metric, options, failed),
        slope=np.concatenate([slope, overall], axis=1).ravel(),
        is_nothing=present.any(axis=-1) & ~differs,
    )


def _failures(
    score_array: ScoreArray, modalities: tuple[int, int], used: Any
) -> tuple[SubjectFailures, SubjectFailures]:
    """Failures of one image alone, as rows: they cost the controlled difference what they cost."""
    at_worst = [score_array.at_worst[:, :, number] for number in modalities]
    kinds = []
    for arm in (0, 1):
        kind = subject_failures(
            score_array.values[INCLUDED][:, :, modalities[arm]],
            at_worst[arm] & ~at_worst[1 - arm],
            used & ~at_worst[arm],
            used,
            score_array,
        )
        kinds.append(kind.rows())
    return kinds[0], kinds[1]


def _counted_difference(values: list[Floats], ceiling: list[Floats], metric: str) -> Floats:
    """First minus second, each counted up to the ceiling of the other image."""
    limit = np.minimum if METRICS[metric].direction == "higher" else np.maximum
    return _without_rounding(limit(values[0], ceiling[1]) - limit(values[1], ceiling[0]))


def _at_equal_floors(differences: Floats, covariate: Floats) -> tuple[Floats, Floats]:
    """Pseudo-values of the difference at equal floors, and slopes, by model and target."""
    pseudo, slope = np.full(differences.shape, np.nan), np.full(differences.shape[:-1], np.nan)
    for index in np.ndindex(slope.shape):
        present = ~np.isnan(differences[index])
        if present.any():
            values, slopes = without_covariate(
                differences[index][present][:, None], covariate[index][present][:, None]
            )
            pseudo[index][present], slope[index] = values[:, 0], slopes[0]
    return pseudo, slope


def _subject_mean(values: Floats) -> Floats:
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.nansum(values, axis=-1) / present.sum(axis=-1)
    return mean


def _without_rounding(gains: Floats) -> Floats:
    return np.where(np.abs(gains) <= _ROUNDING, 0.0, gains)


def _with_verdicts(frame: pd.DataFrame, score_array: ScoreArray) -> pd.DataFrame:
    """Adjust the controlled p in the families of the raw ones, and judge them."""
    names = ("controlled_p_holm", "controlled_p_equivalence_holm", "controlled_verdict")
    columns = {name: np.empty(len(frame), dtype=object) for name in names}
    for rows in frame.reset_index(drop=True).groupby("family").indices.values():
        family = frame.iloc[rows]
        results = adjusted_verdicts(_judged(family), score_array.metric, _reasons(family))
        for name in names:
            columns[name][rows] = results[name.removeprefix("controlled_")]
    frame = frame.assign(**columns)
    for name in names[:2]:
        frame[name] = frame[name].astype(float)
    frame["controlled_verdict"] = frame["controlled_verdict"].mask(
        frame["controlled_n"].eq(0), pd.NA
    )
    return frame


def _judged(family: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Controlled estimates and raw means of the arms, as ``adjusted_verdicts`` reads them."""
    columns = {name: family[column].to_numpy() for name, column in _NAMES.items()}
    return columns | {
        "p": family["controlled_p"].to_numpy(),
        "first": family["first"].to_numpy(),
        "second": family["second"].to_numpy(),
    }


def _reasons(family: pd.DataFrame) -> list[tuple[str, str]]:
    """Status and explanation of rows without a raw or a controlled estimate."""
    reasons = []
    for status, count in zip(family["status"], family["controlled_n"], strict=True):
        reasons.append(
            (status, "") if status in NO_ESTIMATE else ("" if count else "no limits", "")
        )
    return reasons
