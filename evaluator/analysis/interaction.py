"""How a model responds to corrections: statistics over rounds by target and modality."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.comparison.subject_means import describe_subjects, mean_by_subject
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.interaction import (
    area,
    clicks_to_reach,
    curve,
    first_gain,
    instability,
)
from evaluator.runs.tables import read_scores
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.runs.store import RunStore

    #: model, target, modality
    Key = tuple[str, str, str]
    #: subject, case, modality, target, seed
    Prediction = tuple[str, str, str, str, int]
    #: the score of each round; None: a failed round
    Scores = list[float | None]
    #: by case, modality, target, seed and round
    Clicks = Mapping[tuple[str, str, str, int, int], int]

#: Dice values for which the number of clicks is reported
DICE_LEVELS = (0.80, 0.85, 0.90)


def summarise_rounds(run: RunStore, metric: str = "dice") -> list[dict[str, Any]]:
    """Summarise a run with rounds of corrections for each model, target and modality.

    Every mean is over subjects: a subject's sessions and seeds are averaged first. Predictions that
    the model does not support are left out.

    Args:
        run: The run.
        metric: A metric in [0, 1] for which higher is better.

    Returns:
        JSON objects. ``subjects`` and ``predictions`` are counts, as is ``failed_rounds``.
        ``curve`` is the mean score after each round and ``area`` the mean area under the curve
        (trapezoid rule, divided by the number of corrections); a failed round counts as 0. ``noc``
        has for each Dice level the mean number of ``clicks`` (the protocol's budget where a
        prediction never reaches it) and how many predictions ``never`` reach it. ``first_gain`` and
        ``instability`` are means over the subjects that have them. ``seconds`` is the median time
        of a request, which is for all targets of the image.
    """
    rounds = load_protocol(run.info().protocol_source).rounds
    clicks = _clicks(run)
    seconds = _seconds(run)
    entries = []
    for (model, target, modality), series in _series(run, metric).items():
        given = [_clicks_by_round(clicks, key, len(scores)) for key, scores in series.items()]
        budget = max(counts[0] for counts in given) + rounds.count - 1
        budget = min(budget, rounds.max_clicks or budget)
        labels = {"model": model, "target": target, "modality": modality, "metric": metric}
        statistics = _statistics(series, given, rounds.count, budget)
        times = seconds[modality]
        time = {"seconds": round(median(times), 4) if times else None}
        entries.append(labels | statistics | time)
    return entries


def _statistics(
    series: Mapping[Prediction, Scores], given: Sequence[Sequence[int]], count: int, budget: int
) -> dict[str, Any]:
    scores = list(series.values())
    curves = [curve(rounds, count) for rounds in scores]
    reached: dict[str, list[int | None]] = {}
    for threshold in DICE_LEVELS:
        pairs = zip(scores, given, strict=True)
        needed = [clicks_to_reach(rounds, clicks, threshold) for rounds, clicks in pairs]
        reached[f"{threshold:.2f}"] = needed
    columns: dict[str, Sequence[float | None]] = {
        "area": [area(points) for points in curves],
        "first_gain": [first_gain(rounds) for rounds in scores],
        "instability": [instability(rounds) for rounds in scores],
    }
    for number, values in enumerate(zip(*curves, strict=True)):
        columns[f"round {number}"] = list(values)
    for level, needed in reached.items():
        columns[level] = [budget if clicks is None else clicks for clicks in needed]
    subjects = np.unique([key[0] for key in series], return_inverse=True)[1]
    means = _means_over_subjects(columns, subjects)
    return {
        "subjects": int(subjects[-1]) + 1,
        "predictions": len(scores),
        "failed_rounds": sum(rounds.count(None) for rounds in scores),
        "curve": [means[f"round {number}"] for number in range(count)],
        "area": means["area"],
        "noc": {
            level: {"clicks": means[level], "never": clicks.count(None)}
            for level, clicks in reached.items()
        },
        "first_gain": means["first_gain"],
        "instability": means["instability"],
    }


def _clicks_by_round(clicks: Clicks, prediction: Prediction, count: int) -> list[int]:
    _, case, modality, target, seed = prediction
    return [clicks[case, modality, target, seed, number] for number in range(count)]


def _means_over_subjects(
    columns: Mapping[str, Sequence[float | None]], subjects: Any
) -> dict[str, float | None]:
    """Average each column within subjects, then over subjects; None where nothing is known."""
    values = np.array(list(columns.values()), dtype=np.float64)
    means = describe_subjects(mean_by_subject(values, subjects))["mean"]
    return {
        name: None if np.isnan(mean) else round(float(mean), 6)
        for name, mean in zip(columns, means, strict=True)
    }


def _series(run: RunStore, metric: str) -> dict[Key, dict[Prediction, Scores]]:
    """Return each prediction's scores in the order of rounds, sorted by subject."""
    frame = read_scores(run)
    is_scored = ~frame["status"].isin(["undefined", "not-run", "not-applicable"])
    frame = frame[(frame["metric"] == metric) & is_scored]
    keys = ["case", "modality", "target", "seed"]
    is_supported = frame["status"] != "unsupported"
    frame = frame[is_supported.groupby([frame[name] for name in keys]).transform("any")]
    order = ["model", "target", "modality", "subject", "case", "seed", "round"]
    series: dict[Key, dict[Prediction, Scores]] = {}
    for row in frame.sort_values(order).to_dict("records"):
        predictions = series.setdefault((row["model"], row["target"], row["modality"]), {})
        prediction = (row["subject"], row["case"], row["modality"], row["target"], row["seed"])
        value = float(row["value"]) if row["status"] == "ok" else None
        predictions.setdefault(prediction, []).append(value)
    return series


def _clicks(run: RunStore) -> dict[tuple[str, str, str, int, int], int]:
    """Return the number of interactions by case, modality, target, seed and round."""
    clicks = {}
    for record in run.records():
        for entry in record.rounds:
            for target, prediction in entry.targets.items():
                key = (record.case, str(record.modality), target, entry.seed, entry.round)
                clicks[key] = prediction.interactions or 0
    return clicks


def _seconds(run: RunStore) -> dict[str, list[float]]:
    """Return the duration of every successful request by modality."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for record in run.records():
        for entry in record.rounds:
            statuses = {target.status for target in entry.targets.values()}
            if Status.OK in statuses and entry.seconds is not None:
                seconds[record.modality].append(entry.seconds)
    return seconds
