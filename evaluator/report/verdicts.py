"""What the figures say, in sentences that need no statistics: is the organ seen on PET as on CT, how sure is that, where not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison import ALL_TARGETS
from evaluator.analysis.failure_modes import FAILURE_MODES
from evaluator.metrics import METRICS
from evaluator.report.tables import SAID, SCANNER, counted, digits_of, number, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.analysis.failures import FailureAnalysis
    from evaluator.report.benchmark import Benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A finding about one model on one kind of scanner."""

    title: str
    #: in a word or two
    word: str
    #: "worse", "better", "same", "open", "untaken": how it is coloured
    kind: str
    sentences: Sequence[str]


def verdicts(benchmark: Benchmark, failure_analysis: FailureAnalysis) -> list[Verdict]:
    """One for each model and modality_pair of the benchmark, on its first metric, failures counted."""
    rows = benchmark.comparison.modality
    rows = rows[(rows["metric"] == benchmark.metric) & (rows["failures"] == "included")]
    return [
        _verdict(benchmark, failure_analysis, model, modality_pair, own)
        for modality_pair in benchmark.modality_pairs
        for model in benchmark.models
        if len(own := rows[(rows["model"] == model) & (rows["modality_pair"] == modality_pair)])
    ]


def _verdict(
    benchmark: Benchmark,
    failure_analysis: FailureAnalysis,
    model: str,
    modality_pair: str,
    rows: pd.DataFrame,
) -> Verdict:
    overall = rows[rows["target"] == ALL_TARGETS]
    first = next(iter(rows_of(overall)), None)
    kind, word = kind_of(first, benchmark.metric)
    structural = SAID[modality_pair.split("-")[0]]
    if kind == "untaken":
        return Verdict(
            title=f"{model}, {SCANNER[modality_pair]}",
            word=word,
            kind=kind,
            sentences=[_untaken(benchmark, model, first)],
        )
    single = len(rows[rows["target"] != ALL_TARGETS]) == 1
    sentences = [
        _overall(first, benchmark.metric, structural, single),
        *_by_target(rows, benchmark.metric, structural),
    ]
    sentences += [
        *_failures(benchmark, model, modality_pair),
        *_failure_modes(benchmark, failure_analysis, model, modality_pair),
    ]
    return Verdict(
        title=f"{model}, {SCANNER[modality_pair]}",
        word=word,
        kind=kind,
        sentences=[s for s in sentences if s],
    )


def kind_of(row: Any, metric: str) -> tuple[str, str]:
    """How a paired difference is coloured, and the word for it."""
    if row is not None and row.status == "unsupported":
        return "untaken", "not supported"
    if (
        row is None
        or pd.isna(row.difference)
        or pd.isna(row.verdict)
        or row.verdict == "inconclusive"
    ):
        return "open", "inconclusive"
    if row.verdict == "equivalent":
        return "same", "as good on PET"
    worse = (row.difference > 0) == (METRICS[metric].direction == "higher")
    if row.verdict == "different within margin":
        return "same", f"slightly {'worse' if worse else 'better'} on PET"
    return ("worse", "worse on PET") if worse else ("better", "better on PET")


def _untaken(benchmark: Benchmark, model: str, row: Any) -> str:
    if next(run for run in benchmark.runs if run.label == model).prompt_kind is None:
        return "Nothing was asked: the model takes no prompt that this protocol gives. In means and ranks that counts as failed."
    return f"Nothing can be compared: {row.explanation}. In means and ranks that counts as failed."


def _overall(row: Any, metric: str, structural: str, single: bool) -> str:
    if row is None or pd.isna(row.difference):
        why = "" if row is None or not row.explanation else f": {row.explanation}"
        return f"Whether the model does as well on PET as on {structural} cannot be said{why}."
    title, digits = METRICS[metric].title, digits_of(metric)
    unit = f" {METRICS[metric].unit}" if METRICS[metric].unit else ""
    subjects = counted(int(row.n), "subject")
    averaged = "" if single else ", averaged over all targets"
    levels = (
        f"{title} is {number(row.mean_functional, digits)}{unit} on PET and {number(row.mean_structural, digits)}{unit} "
        f"on {structural}{averaged}"
    )
    sure = (
        f"; the difference of {number(row.difference, digits)} has a 95 % interval from {number(row.low, digits)} to "
        f"{number(row.high, digits)} ({subjects})"
        if pd.notna(row.low)
        else f"; from {subjects} no interval can be given for the difference of {number(row.difference, digits)}"
    )
    return f"{levels}{sure}. {_meaning(row, structural, unit)}"


def _meaning(row: Any, structural: str, unit: str) -> str:
    margin = "" if pd.isna(row.margin) else f"{row.margin:g}{unit}"
    if row.verdict == "equivalent":
        return f"A difference larger than the margin of {margin} is excluded: the model sees PET as it sees {structural}."
    if row.verdict == "different within margin":
        return f"The difference is real, but smaller than the margin of {margin} that was declared to matter."
    if row.verdict == "different":
        return "Chance does not explain the difference" + (
            f" (margin that matters: {margin})." if margin else "."
        )
    if pd.notna(row.explanation) and row.explanation:
        return f"What that means cannot be said: {row.explanation}."
    both = f" or is smaller than the margin of {margin}" if margin else ""
    return (
        f"These data cannot say whether there is a difference{both}; more subjects would be needed."
    )


def _by_target(rows: pd.DataFrame, metric: str, structural: str) -> list[str]:
    rows = rows[rows["target"] != ALL_TARGETS]
    if len(rows) < 2:
        return []
    kinds: dict[str, list[str]] = {"worse": [], "better": [], "same": [], "open": [], "untaken": []}
    for row in rows_of(rows):
        kinds[kind_of(row, metric)[0]].append(str(row.target))
    words = {
        "worse": "Worse on PET",
        "better": "Better on PET",
        "same": f"As on {structural}, or within the margin",
        "open": "Cannot be said",
        "untaken": "Not supported by the model",
    }
    parts = [
        f"{words[kind]} ({len(names)} of {len(rows)}): {', '.join(names)}"
        for kind, names in kinds.items()
        if names
    ]
    return [". ".join(parts) + "."]


def _failures(benchmark: Benchmark, model: str, modality_pair: str) -> list[str]:
    means = benchmark.comparison.means
    means = means[
        (means["metric"] == benchmark.metric)
        & (means["failures"] == "included")
        & (means["model"] == model)
        & (means["modality_pair"] == modality_pair)
        & (means["target"] != ALL_TARGETS)
    ]
    told = []
    for modality, own in means.groupby("modality", observed=True):
        failed, asked = int(own["failed"].sum()), int(own["predictions"].sum())
        if failed:
            told.append(f"{failed} of {asked} on {SAID[str(modality)]}")
    return (
        [f"No usable mask came back for {' and '.join(told)}; these count in the figures above."]
        if told
        else []
    )


def _failure_modes(
    benchmark: Benchmark, failure_analysis: FailureAnalysis, model: str, modality_pair: str
) -> list[str]:
    """What poor masks mostly are, on PET and on the structural image."""
    counts = failure_analysis.counts
    counts = counts[
        (counts["dataset"] == benchmark.group.dataset)
        & (counts["protocol"] == benchmark.protocol.id)
    ]
    told = []
    for modality in reversed(modality_pair.split("-")):
        own = counts[
            (counts["model"] == model)
            & (counts["modality"] == modality)
            & counts["failure_mode"].isin(list(FAILURE_MODES))
        ]
        kinds = (
            own.groupby("failure_mode")["count"].sum().sort_values(ascending=False, kind="stable")
        )
        if len(kinds):
            told.append(f"on {SAID[modality]} {kinds.index[0]} ({kinds.iloc[0]} of {kinds.sum()})")
    return (
        [f"Poor masks (score below {failure_analysis.poor:g}) are most often: {', '.join(told)}."]
        if told
        else []
    )
