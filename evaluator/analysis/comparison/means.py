"""The frame of means: each model, target and modality on its own, in each modality_pair and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.pairing import arm_of, with_all
from evaluator.analysis.comparison.schema import ALL_TARGETS, MEANS, MODALITY_PAIRS
from evaluator.analysis.comparison.score_array import FAILURE_RULES
from evaluator.statistics import FEWEST, mean_intervals
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.score_array import ScoreArray


def mean_scores(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Means with intervals, spread and counts, for every model and target and each slot that the data have."""
    blocks = [
        _block(score_array, modality_pair, number, units, failures, options)
        for modality_pair, number, units in _slots(score_array)
        for failures in FAILURE_RULES
    ]
    columns = [name for name in MEANS if name not in ("dataset", "protocol")]
    if not blocks:
        return pd.DataFrame(columns=columns)
    return pd.concat(blocks, ignore_index=True)[columns]


def _slots(score_array: ScoreArray) -> Iterator[tuple[str, int, NDArray[np.bool_]]]:
    """(modality_pair, modality's number, its units): both modalities of each modality_pair, then every modality in all units."""
    for pair in MODALITY_PAIRS:
        numbers = [MODALITIES.index(name) for name in pair]
        both = np.logical_and.reduce(score_array.has[numbers])
        if both.any():
            yield from (("-".join(pair), number, both) for number in numbers)
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
    values = with_all(score_array.per_subject(np.where(units, arm.values[failures], np.nan)))
    counts = {
        "predictions": _count(arm.asked & units),
        "failed": _count(arm.failed & units),
        "unsupported": _count(arm.unsupported & units),
        "excluded": _count(arm.excluded & units),
    }
    targets = (*score_array.targets, ALL_TARGETS)
    figures = _figures(values.reshape(-1, values.shape[-1]), options)
    told = [_status(*row) for row in zip(figures["n"], *counts.values(), strict=True)]
    words = {
        "model": np.repeat(score_array.models, len(targets)),
        "target": list(targets) * len(score_array.models),
        "modality_pair": modality_pair,
        "modality": MODALITIES[number],
        "metric": score_array.metric,
        "failures": failures,
        "status": [status for status, _ in told],
        "explanation": [explanation for _, explanation in told],
    }
    return pd.DataFrame(words | figures | counts)


def _figures(values: NDArray[np.float64], options: ComparisonOptions) -> dict[str, NDArray[Any]]:
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    names = ("mean", "low", "high", "sd", "median", "q1", "q3")
    figures: dict[str, NDArray[Any]] = {name: np.full(len(n), np.nan) for name in names}
    for count in np.unique(n[n > 0]):
        cells = np.flatnonzero(n == count)
        columns = values[cells][known[cells]].reshape(len(cells), count).T
        ends = mean_intervals(
            columns, (options.confidence,), resamples=options.resamples, seed=options.seed
        )[0]
        figures["mean"][cells], figures["low"][cells], figures["high"][cells] = (
            columns.mean(axis=0),
            ends[0],
            ends[1],
        )
        if count > 1:
            figures["sd"][cells] = columns.std(axis=0, ddof=1)
        for name, share in (("q1", 25), ("median", 50), ("q3", 75)):
            figures[name][cells] = np.percentile(columns, share, axis=0)
    return {"n": n} | figures


def _count(marks: Any) -> NDArray[np.int64]:
    counts = marks.sum(axis=2)
    total: NDArray[np.int64] = np.concatenate(
        [counts, counts.sum(axis=1, keepdims=True)], axis=1
    ).ravel()
    return total


def _status(
    n: int, predictions: int, failed: int, unsupported: int, excluded: int
) -> tuple[str, str]:
    if not predictions:
        if excluded:
            return "excluded", "the data allow no fair question, or the metric has no meaning there"
        return "no predictions", "no image of this kind has it in its reference"
    if unsupported == predictions:
        return "unsupported", "the model does not take it"
    if failed == predictions:
        return "all failed", "no prediction has a mask"
    if n < FEWEST:
        return "few subjects", f"fewer than {FEWEST} subjects allow no interval"
    return "ok", ""
