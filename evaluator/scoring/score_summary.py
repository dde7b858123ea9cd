"""Scores of many pairs of files: means for each target."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from evaluator.metrics.metric_table import METRICS
from evaluator.types import ScoreStatus, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Json = dict[str, Any]

VOLUMES = ("reference_ml", "prediction_ml", "reference_mm2", "prediction_mm2")
ALL = "all"
"""Stands for all targets where each file is one target of its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMeans:
    """The means of one target over pairs.

    A missing prediction has no score.
    """

    target: str
    pairs: int
    #: pairs without a prediction
    missing: int
    #: pairs in which neither file has the target
    undefined: int
    #: key of a metric -> mean over the pairs that have a value
    means: Mapping[str, float]
    #: the same with missing predictions as the metric's worst value; only finite ones
    counted: Mapping[str, float]


def target_means(results: Sequence[Json], metrics: Sequence[str]) -> list[TargetMeans]:
    """The means over pairs, for each target."""
    targets: dict[str, list[Json]] = {}
    for result in results:
        for target in result.get("targets", ()):
            targets.setdefault(target["name"], []).append(target)
    if len(targets) > 1 and all(len(entries) == 1 for entries in targets.values()):
        targets = {ALL: [entry for entries in targets.values() for entry in entries]}
    return [_means(name, entries, metrics) for name, entries in targets.items()]


def absent_targets(results: Iterable[Json], labels: Mapping[str, tuple[int, ...]]) -> list[str]:
    """A sentence for each target of a table that is in no scored file."""
    statuses: dict[str, set[str]] = {name: set() for name in labels}
    for result in results:
        for target in result.get("targets", ()):
            statuses.setdefault(target["name"], set()).add(target["status"])
    sentences = []
    for name, values in labels.items():
        if statuses[name] - {Status.MISSING} == {ScoreStatus.UNDEFINED}:
            sentences.append(f"{name}: no file holds its label {', '.join(map(str, values))}")
    return sentences


def key_of(metric: str) -> str:
    """The key of a metric's value in a result."""
    return metric + ("_mm" if METRICS[metric].unit == "mm" else "")


def _means(name: str, entries: Sequence[Json], metrics: Sequence[str]) -> TargetMeans:
    missing = sum(entry["status"] == Status.MISSING for entry in entries)
    means: dict[str, float] = {}
    counted: dict[str, float] = {}
    for metric in metrics:
        key = key_of(metric)
        values = [entry[key] for entry in entries if key in entry]
        if not values:
            continue
        means[key] = sum(values) / len(values)
        worst = METRICS[metric].worst
        if missing and isfinite(worst):
            counted[key] = (sum(values) + missing * worst) / (len(values) + missing)
    return TargetMeans(
        target=name,
        pairs=len(entries),
        missing=missing,
        undefined=sum(entry["status"] == ScoreStatus.UNDEFINED for entry in entries),
        means=means,
        counted=counted,
    )
