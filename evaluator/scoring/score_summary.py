"""Scores of many pairs of files: means for each target, and a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from evaluator.metrics import METRICS
from evaluator.types import ScoreStatus, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Json = dict[str, Any]

VOLUMES = ("reference_ml", "prediction_ml", "reference_mm2", "prediction_mm2")


def mean_lines(results: Sequence[Json], metrics: Sequence[str]) -> list[str]:
    """One line for each target: the means over pairs, and how many pairs have no score.

    A missing prediction has no score. Where the metric has a worst value, the mean that counts a
    missing prediction as that value is given, too.
    """
    targets: dict[str, list[Json]] = {}
    for result in results:
        for target in result.get("targets", ()):
            targets.setdefault(target["name"], []).append(target)
    if len(targets) > 1 and all(len(entries) == 1 for entries in targets.values()):
        # each file is one target of its own name
        targets = {"all": [entry for entries in targets.values() for entry in entries]}
    return [_mean_line(name, entries, metrics) for name, entries in targets.items()]


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


def csv_table(results: Iterable[Json], metrics: Sequence[str]) -> str:
    """All scores as comma-separated values: a row for each pair and target."""
    keys = [key_of(name) for name in metrics]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "target", "label", "status", *VOLUMES, *keys, "detail"])
    for result in results:
        detail = "; ".join([result["error"]] if "error" in result else result.get("warnings", []))
        if "error" in result:
            writer.writerow([result["name"], "", "", "error", *[""] * (4 + len(keys)), detail])
        for target in result.get("targets", ()):
            label = target["label"]
            labels = " ".join(map(str, label)) if isinstance(label, list) else label
            values = [target.get(key, "") for key in (*VOLUMES, *keys)]
            row = [result["name"], target["name"], labels, target["status"], *values, detail]
            writer.writerow(row)
    return text.getvalue()


def key_of(metric: str) -> str:
    """The key of a metric's value in a result."""
    return metric + ("_mm" if METRICS[metric].unit == "mm" else "")


def _mean_line(name: str, entries: Sequence[Json], metrics: Sequence[str]) -> str:
    missing = sum(entry["status"] == Status.MISSING for entry in entries)
    undefined = sum(entry["status"] == ScoreStatus.UNDEFINED for entry in entries)
    counts = f"{len(entries)} pairs"
    counts += f", {missing} missing" if missing else ""
    counts += f", {undefined} without the target" if undefined else ""
    parts = []
    for metric in metrics:
        values = [entry[key_of(metric)] for entry in entries if key_of(metric) in entry]
        if values:
            parts.append(_mean(metric, values, missing))
    return f"mean  {name}  ({counts})  " + "  ".join(parts)


def _mean(metric: str, values: Sequence[float], missing: int) -> str:
    text = f"{key_of(metric)} {sum(values) / len(values):.4g}"
    worst = METRICS[metric].worst
    if not missing or worst in (float("inf"), float("-inf")):
        return text
    counted = (sum(values) + missing * worst) / (len(values) + missing)
    return f"{text} (missing as {worst:g}: {counted:.4g})"
