"""Verdicts in plain sentences: is a model as good on PET as on CT or MR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.conclusions import KINDS
from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.failure_modes import FAILURE_MODES
from evaluator.metrics.metric_table import METRICS
from evaluator.report.tables import (
    MODALITY_NAMES,
    SCANNER,
    count_noun,
    digits_of,
    number,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.analysis.failures import FailureAnalysis
    from evaluator.report.benchmark import Benchmark

#: kind of a verdict -> how targets with it are introduced; {} is the structural modality
_TARGET_WORDS = {
    "worse": "Worse on PET",
    "better": "Better on PET",
    "same": "As good as on {}, within the margin, or no difference beyond the grid",
    "open": "Inconclusive",
    "unsupported": "Not supported by the model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on one model and one kind of scanner."""

    title: str
    #: the verdict in a few words
    word: str
    #: "worse", "better", "same", "open" or "unsupported": determines the colour
    kind: str
    sentences: Sequence[str]


def verdicts(benchmark: Benchmark, failure_analysis: FailureAnalysis) -> list[Verdict]:
    """Return a verdict for each model and modality pair of the benchmark.

    They are based on the benchmark's first metric, with failures included.
    """
    rows = benchmark.comparison.modality
    rows = rows[(rows["metric"] == benchmark.metric) & (rows["failures"] == "counted")]
    results = []
    for modality_pair in benchmark.modality_pairs:
        rows_of_pair = rows[rows["modality_pair"] == modality_pair]
        for model in benchmark.models:
            rows_of_model = rows_of_pair[rows_of_pair["model"] == model]
            if len(rows_of_model):
                results.append(
                    _verdict(benchmark, failure_analysis, model, modality_pair, rows_of_model)
                )
    return results


def _verdict(
    benchmark: Benchmark,
    failure_analysis: FailureAnalysis,
    model: str,
    modality_pair: str,
    rows: pd.DataFrame,
) -> Verdict:
    by_target = rows[rows["target"] != ALL_TARGETS]
    overall = next(iter(rows_of(rows[rows["target"] == ALL_TARGETS])), None)
    kind, word = kind_of(overall)
    structural = MODALITY_NAMES[modality_pair.split("-")[0]]
    if kind == "unsupported":
        sentences = [_unsupported(benchmark, model, overall)]
    else:
        sentences = [
            _overall(overall, benchmark.metric, structural, single=len(by_target) == 1),
            _by_target(by_target, structural),
            _failures(benchmark, model, modality_pair),
            _failure_modes(benchmark, failure_analysis, model, modality_pair),
        ]
    return Verdict(
        title=f"{model}, {SCANNER[modality_pair]}",
        word=word,
        kind=kind,
        sentences=[sentence for sentence in sentences if sentence],
    )


def kind_of(row: Any) -> tuple[str, str]:
    """Return the kind of a paired difference (see ``Verdict.kind``) and its words."""
    if row is not None and row.status == "unsupported":
        return "unsupported", "not supported"
    if row is None or pd.isna(row.difference) or pd.isna(row.conclusion):
        return "open", "inconclusive"
    return KINDS[str(row.conclusion)], str(row.conclusion)


def _unsupported(benchmark: Benchmark, model: str, row: Any) -> str:
    run = next(run for run in benchmark.runs if run.label == model)
    consequence = "It has no score, so it is in no mean and no ranking."
    if run.prompt_kind is None:
        return (
            "No prediction was requested: the model does not support any prompt of this protocol. "
            f"{consequence}"
        )
    return f"No comparison is possible: {row.explanation}. {consequence}"


def _overall(row: Any, metric: str, structural: str, *, single: bool) -> str:
    if row is None or pd.isna(row.difference):
        reason = "" if row is None or not row.explanation else f": {row.explanation}"
        return f"The comparison of PET with {structural} is inconclusive{reason}."
    digits = digits_of(metric)
    unit = f" {METRICS[metric].unit}" if METRICS[metric].unit else ""
    averaged = "" if single else ", averaged over all targets"
    subjects = count_noun(int(row.n), "subject")
    difference = number(row.difference, digits)
    levels = (
        f"The mean {METRICS[metric].title} is {number(row.mean_functional, digits)}{unit} on PET "
        f"and {number(row.mean_structural, digits)}{unit} on {structural}{averaged}."
    )
    if pd.isna(row.low):
        certainty = (
            f"{subjects} do not allow an interval for the difference of {difference}."
            if row.n != 1
            else f"1 subject does not allow an interval for the difference of {difference}."
        )
    else:
        certainty = f"The difference is {difference} ({_intervals(row, digits)}; {subjects})."
    return f"{levels} {certainty} {_meaning(row, structural, unit)}{_grid(row, digits, structural)}"


def _grid(row: Any, digits: int, structural: str) -> str:
    """Say what the grid's part is, and what is left of the difference without it."""
    if pd.isna(row.controlled_difference):
        return f" {_sentence(row.grid_remark)}" if row.grid_remark else ""
    floors = (
        f" An image-blind answer to the model’s prompts scores "
        f"{number(row.floor_functional, digits)} on PET and {number(row.floor_structural, digits)} "
        f"on {structural}; the grid allows {number(row.ceiling_functional, digits)} and "
        f"{number(row.ceiling_structural, digits)}."
    )
    interval = (
        ""
        if pd.isna(row.controlled_low)
        else f" (95 % interval from {number(row.controlled_low, digits)} to "
        f"{number(row.controlled_high, digits)})"
    )
    left = number(row.controlled_difference, digits)
    conclusion = f" Conclusion: {row.conclusion}." if row.grid_remark else ""
    return f"{floors} Beyond the grid's part the difference is {left}{interval}.{conclusion}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _intervals(row: Any, digits: int) -> str:
    """The interval that allows for failures that were not seen, and the one by the spread alone."""
    low, high = number(row.low, digits), number(row.high, digits)
    observed = number(row.low_observed, digits), number(row.high_observed, digits)
    text = f"95 % interval from {low} to {high}"
    if observed == (low, high):
        return text
    return (
        f"{text} with an allowance for failures that were not seen, from {observed[0]} to "
        f"{observed[1]} without"
    )


def _meaning(row: Any, structural: str, unit: str) -> str:
    margin = "" if pd.isna(row.margin) else f"{row.margin:g}{unit}"
    explanation = "" if pd.isna(row.explanation) else str(row.explanation)
    if row.verdict == "equivalent":
        return (
            f"A raw difference larger than the margin of {margin} is excluded: the scores on PET "
            f"are as good as on {structural}."
        )
    remark = f" Note: {explanation}." if explanation else ""
    if row.verdict == "different within margin":
        return (
            f"The raw difference is significant, but smaller than the declared margin of {margin}."
            f"{remark}"
        )
    if row.verdict == "different":
        declared = f" (declared margin: {margin})" if margin else ""
        return f"The raw difference is significant{declared}.{remark}"
    reason = "" if pd.isna(row.verdict_reason) else str(row.verdict_reason)
    reasons = ": ".join(filter(None, (reason, explanation)))
    return f"The result is inconclusive: {reasons}." if reasons else "The result is inconclusive."


def _by_target(rows: pd.DataFrame, structural: str) -> str:
    if len(rows) < 2:
        return ""
    targets: dict[str, list[str]] = {kind: [] for kind in _TARGET_WORDS}
    for row in rows_of(rows):
        targets[kind_of(row)[0]].append(str(row.target))
    parts = []
    for kind, names in targets.items():
        if names:
            words = _TARGET_WORDS[kind].format(structural)
            parts.append(f"{words} ({len(names)} of {len(rows)}): {', '.join(names)}.")
    return " ".join(parts)


def _failures(benchmark: Benchmark, model: str, modality_pair: str) -> str:
    means = benchmark.comparison.means
    means = means[(means["metric"] == benchmark.metric) & (means["failures"] == "counted")]
    means = means[(means["model"] == model) & (means["modality_pair"] == modality_pair)]
    means = means[means["target"] != ALL_TARGETS]
    counts = []
    for modality, rows in means.groupby("modality", observed=True):
        failed, predictions = int(rows["failed"].sum()), int(rows["predictions"].sum())
        if failed:
            counts.append(f"{failed} of {predictions} on {MODALITY_NAMES[str(modality)]}")
    if not counts:
        return ""
    return (
        f"Failed predictions, without a valid mask: {' and '.join(counts)}. "
        "They are included in the means above."
    )


def _failure_modes(
    benchmark: Benchmark, failure_analysis: FailureAnalysis, model: str, modality_pair: str
) -> str:
    """Name the most frequent failure mode on PET and on the structural image."""
    counts = failure_analysis.counts
    counts = counts[counts["dataset"] == benchmark.group.dataset]
    counts = counts[(counts["protocol"] == benchmark.protocol.id) & (counts["model"] == model)]
    counts = counts[counts["failure_mode"].isin(list(FAILURE_MODES))]
    parts = []
    for modality in reversed(modality_pair.split("-")):
        rows = counts[counts["modality"] == modality]
        totals = rows.groupby("failure_mode")["count"].sum()
        totals = totals.sort_values(ascending=False, kind="stable")
        if len(totals):
            share = f"{totals.iloc[0]} of {totals.sum()}"
            parts.append(f"{totals.index[0]} on {MODALITY_NAMES[modality]} ({share})")
    if not parts:
        return ""
    return (
        "The most frequent failure mode of poor masks "
        f"(score below {failure_analysis.poor:g}) is {' and '.join(parts)}."
    )
