"""The table of means: each model, target and modality, by modality pair and over all scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.pairing import arm_of
from evaluator.analysis.comparison.schema import ALL_TARGETS, MEANS, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import FAILURE_RULES, INCLUDED
from evaluator.analysis.comparison.subject_failures import SubjectFailures, subject_failures
from evaluator.analysis.comparison.subject_means import (
    describe_subjects,
    groups_of_equal_size,
    with_target_mean,
)
from evaluator.statistics import FEWEST, mean_intervals
from evaluator.statistics.intervals import allow_for_failures
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.score_array import ScoreArray


def mean_scores(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Compute means over subjects, with intervals, spread and counts.

    Returns:
        One row for each model, target, failure rule, modality and modality pair that the data
        have. The columns are ``MEANS`` without dataset and protocol.
    """
    blocks = []
    for modality_pair, number, units in _selections(score_array):
        for failures in FAILURE_RULES:
            blocks.append(_block(score_array, modality_pair, number, units, failures, options))
    columns = [name for name in MEANS if name not in ("dataset", "protocol")]
    if not blocks:
        return pd.DataFrame(columns=columns)
    return pd.concat(blocks, ignore_index=True)[columns]


def _selections(score_array: ScoreArray) -> Iterator[tuple[str, int, NDArray[np.bool_]]]:
    """Yield modality pair, number of the modality, and the units to average.

    First come both modalities of each pair in the units that have both, then every modality in all
    of its units, as pair "all".
    """
    for pair in MODALITY_PAIRS:
        numbers = [MODALITIES.index(name) for name in pair]
        paired = np.logical_and.reduce(score_array.has[numbers])
        if paired.any():
            yield from (("-".join(pair), number, paired) for number in numbers)
    for number in range(len(MODALITIES)):
        if score_array.has[number].any():
            yield "all", number, score_array.has[number]


def _block(
    score_array: ScoreArray,
    modality_pair: str,
    number: int,
    units: NDArray[np.bool_],
    failures: str,
    options: ComparisonOptions,
) -> pd.DataFrame:
    arm = arm_of(score_array, slice(None), number)
    by_unit = np.where(units, arm.values[failures], np.nan)
    values = with_target_mean(score_array.per_subject(by_unit))
    counts = {
        "predictions": _count(arm.attempted & units),
        "failed": _count(arm.failed & units),
        "unsupported": _count(arm.unsupported & units),
        "excluded": _count(arm.excluded & units),
    }
    targets = (*score_array.targets, ALL_TARGETS)
    failures_of_rows = None
    if failures == INCLUDED and not np.isnan(score_array.failure_value):
        used = ~np.isnan(by_unit)
        at_worst = arm.at_worst & used
        kinds = subject_failures(by_unit, at_worst, used & ~at_worst, used, score_array)
        failures_of_rows = kinds.rows()
    statistics = _statistics(values.reshape(-1, values.shape[-1]), failures_of_rows, options)
    for name, limits in (("floor", score_array.floor), ("ceiling", score_array.ceiling)):
        of_units = np.where(units, limits[:, :, number], np.nan)
        by_subject = with_target_mean(score_array.per_subject(of_units))
        statistics[name] = describe_subjects(by_subject.reshape(-1, values.shape[-1]))["mean"]
    reasons = [_status(*row) for row in zip(statistics["n"], *counts.values(), strict=True)]
    words = {
        "model": np.repeat(score_array.models, len(targets)),
        "target": list(targets) * len(score_array.models),
        "modality_pair": modality_pair,
        "modality": MODALITIES[number],
        "metric": score_array.metric,
        "failures": failures,
        "status": [status for status, _ in reasons],
        "explanation": [explanation for _, explanation in reasons],
    }
    return pd.DataFrame(words | statistics | counts)


def _statistics(
    values: NDArray[np.float64], failures: SubjectFailures | None, options: ComparisonOptions
) -> dict[str, NDArray[Any]]:
    statistics = describe_subjects(values)
    ends = ("low", "high", "low_observed", "high_observed")
    statistics |= {name: np.full(len(values), np.nan) for name in ends}
    present = ~np.isnan(values)
    levels = (options.confidence,)
    for rows, columns in groups_of_equal_size(values):
        observed = mean_intervals(columns, levels, resamples=options.resamples, seed=options.seed)
        parts = () if failures is None else (failures.part(rows, present[rows], -1.0),)
        allowed = allow_for_failures(observed, columns, levels, parts)
        for name, values_of_rows in zip(ends, (*allowed[0], *observed[0]), strict=True):
            statistics[name][rows] = values_of_rows
    return statistics


def _count(marks: Any) -> NDArray[np.int64]:
    counts = marks.sum(axis=2)
    with_total = np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)
    flat: NDArray[np.int64] = with_total.ravel()
    return flat


def _status(
    n: int, predictions: int, failed: int, unsupported: int, excluded: int
) -> tuple[str, str]:
    if not predictions:
        if excluded:
            return "excluded", (
                "the data do not allow a fair request, or the metric does not apply to the target"
            )
        return "no predictions", "no image of this modality has the target in its reference"
    if unsupported == predictions:
        return "unsupported", "the model does not support this input"
    if failed + unsupported == predictions:
        return "all failed", "no prediction has a mask"
    if n < FEWEST:
        return "few subjects", f"fewer than {FEWEST} subjects do not allow an interval"
    return "ok", ""
