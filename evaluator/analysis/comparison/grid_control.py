"""The grid's part taken out of the difference between two modalities (``docs/statistics.md``).

A score S lies between the floor F of its scan, which an image-blind answer reaches, and the ceiling
C, which the grid allows. The gain S - F is put on the structural image's scale: a PET gain is
multiplied by the ratio of the mean ranges C - F of the two images. The controlled difference of a
subject is the structural gain minus the PET gain on that scale. It is 0 in the mean for a model
that answers with the floor on both images, and for one that reaches the ceiling on both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.conclusions import conclude
from evaluator.analysis.comparison.paired_tests import adjusted_verdicts, paired_estimates
from evaluator.analysis.comparison.pairing import NO_ESTIMATE
from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.comparison.score_array import FAILURE_RULES, INCLUDED
from evaluator.analysis.comparison.subject_failures import SubjectFailures, subject_failures
from evaluator.analysis.comparison.subject_means import with_target_mean
from evaluator.metrics import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.score_array import ScoreArray

    Floats = NDArray[np.float64]

#: the ranges of two grids may differ by this factor; beyond it one grid leaves no room for a score
LARGEST_RATIO = 4.0
NO_LIMITS = "floor and ceiling are not known"
NO_ROOM = "the grid of one image leaves no room between floor and ceiling"
#: the tables' name of each estimate
_NAMES = {
    "n": "controlled_n",
    "difference": "controlled_difference",
    "low": "controlled_low",
    "high": "controlled_high",
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
    score, floor, ceiling = (
        [score_array.per_subject(np.where(used, values, np.nan)) for values in arms]
        for arms in (scores, floors, ceilings)
    )
    ratio, remark = _ratios(floor, ceiling, score_array.metric)
    gains = [_without_rounding(s - f) for s, f in zip(score, floor, strict=True)]
    first = with_target_mean(np.where(np.isnan(ratio)[..., None], np.nan, gains[0]))
    second = with_target_mean(gains[1] * ratio[..., None])
    subjects = first.shape[-1]
    failed = None
    if failures == INCLUDED and not np.isnan(score_array.failure_value):
        in_estimate = used & ~np.isnan(ratio)[..., None]
        failed = _failures(score_array, modalities, in_estimate, ratio)
    estimates = paired_estimates(
        first.reshape(-1, subjects),
        second.reshape(-1, subjects),
        score_array.metric,
        options,
        failed,
    )
    targets = (*score_array.targets, ALL_TARGETS)
    columns: dict[str, Any] = {
        "model": np.repeat(score_array.models, len(targets)),
        "target": list(targets) * len(score_array.models),
    }
    for name, arms in (("floor", floor), ("ceiling", ceiling)):
        for arm, values in zip(("structural", "functional"), arms, strict=True):
            columns[f"{name}_{arm}"] = _subject_mean(with_target_mean(values)).ravel()
    columns |= {column: estimates[name] for name, column in _NAMES.items()}
    columns["control_problem"] = remark.ravel()
    present = ~np.isnan(first)
    differ = np.abs(first - second) > _ROUNDING
    columns["no_difference"] = (present.any(axis=-1) & ~(present & differ).any(axis=-1)).ravel()
    return pd.DataFrame(columns)


def _failures(
    score_array: ScoreArray, modalities: tuple[int, int], used: Any, ratio: Floats
) -> tuple[SubjectFailures, SubjectFailures]:
    """Failures of one image alone, as rows; what a PET failure costs is on the common scale."""
    at_worst = [score_array.at_worst[:, :, number] for number in modalities]
    with_mean = np.append(ratio, _subject_mean(ratio)[:, None], axis=1)
    kinds = []
    for arm, scale in ((0, np.ones_like(with_mean)), (1, np.nan_to_num(with_mean))):
        kind = subject_failures(
            score_array.values[INCLUDED][:, :, modalities[arm]],
            at_worst[arm] & ~at_worst[1 - arm],
            used & ~at_worst[arm],
            used,
            score_array,
        )
        kinds.append(SubjectFailures(share=kind.share, loss=kind.loss * scale).rows())
    return kinds[0], kinds[1]


def _ratios(
    floor: list[Floats], ceiling: list[Floats], metric: str
) -> tuple[Floats, NDArray[np.object_]]:
    """The ratio of mean ranges by model and target, NaN where there is none, and why.

    The reasons have one more column, of the mean over targets.
    """
    sign = 1.0 if METRICS[metric].direction == "higher" else -1.0
    ranges = [
        sign * (_subject_mean(c) - _subject_mean(f)) for f, c in zip(floor, ceiling, strict=True)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = ranges[0] / ranges[1]
        room = (ranges[0] > 0) & (ranges[1] > 0)
        room &= (ratio <= LARGEST_RATIO) & (ratio >= 1 / LARGEST_RATIO)
    reasons = np.full((ratio.shape[0], ratio.shape[1] + 1), "", dtype=object)
    reasons[:, :-1][~room] = NO_ROOM
    reasons[:, :-1][np.isnan(ratio)] = NO_LIMITS
    every = (reasons[:, :-1] != "").all(axis=1)
    reasons[every, -1] = reasons[every, 0]
    return np.where(room, ratio, np.nan), reasons


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
    """What ``adjusted_verdicts`` reads: the controlled estimates, with the raw means of the arms."""
    columns = {name: family[column].to_numpy() for name, column in _NAMES.items()}
    return columns | {
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
