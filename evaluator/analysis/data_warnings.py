"""What must be known of the data and the prompts of runs, in lines that stand above every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.analysis.displacements import describe_displacements, largest_displacement_mm
from evaluator.analysis.scorer_versions import scorer_line
from evaluator.runs.data_checks import UNREGISTERED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evaluator.runs.results import RunFacts
    from evaluator.runs.run_info import RunInfo
    from evaluator.runs.store import RunStore


def data_warnings(info: RunInfo, store: RunStore) -> list[str]:
    """Of one run: prompts that are not common, errors in spite of which it ran, findings."""
    lines = [f"{UNREGISTERED}."] if info.unregistered else []
    lines += unverified_line(info)
    lines += golden_line(info)
    return [*lines, *(f"data: {line}" for line in store.checks().lines())]


def rounds_line(run: RunStore, label: str) -> list[str]:
    """Say that a model took part in round 0 alone; empty if it did not.

    Args:
        run: the run.
        label: what tables call it.
    """
    for record in run.records():
        for stopped in record.stop_reasons.values():
            reasons = {stop.reason for stop in stopped.values()}
            if not reasons:
                continue
            if reasons != {"no-corrections"}:
                return []
            return [f"{label} takes no clicks: its masks of round 0 stand for later rounds."]
    return []


def unverified_line(info: RunInfo) -> list[str]:
    """That nothing shows the weights to be the published ones; empty if something does."""
    state = info.weights.preflight
    if not state or state == "passed":
        return []
    return [f"{info.identity.model}, weights: unverified (preflight: {state})."]


def golden_line(info: RunInfo) -> list[str]:
    """Whether a network's golden case passed with the run's weights; empty without weights."""
    state = info.weights.golden
    return [f"{info.identity.model}, golden case: {state}."] if state else []


def warnings_of_runs(runs: Iterable[RunFacts]) -> list[str]:
    """Of several runs of one dataset: each line once, and how far each run's prompts lie off."""
    lines: dict[str, None] = {}
    of_runs: list[str] = []
    for run in runs:
        lines |= dict.fromkeys(data_warnings(run.info, run.store))
        of_runs += scorer_line(run.store, run.label)
        of_runs += rounds_line(run.store, run.label)
        if largest_displacement_mm(run.store) > 0:
            of_runs.append(f"{run.label}: {describe_displacements(run.store)}")
    return [*lines, *of_runs]
