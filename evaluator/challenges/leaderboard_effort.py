"""The leaderboard's tables of time, memory and failures, and of the teams' submissions."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.challenges.leaderboard_tables import board_key, doubts
from evaluator.metrics.metric_table import METRICS
from evaluator.report.tables import NOTHING, Cell, Column, Table, digits_of, figure_cell, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.challenges.leaderboard_records import Board, HistoryEntry

_FAILURES = {
    "worst": "the metric's worst value",
    "baseline": "the baseline's score of the same target",
}


def times_table(board: Board, warnings: Sequence[str]) -> Table:
    """Seconds and GPU memory of the requests for hidden scans."""
    rows, data = [], []
    for entry in board.entries:
        times = entry.times
        memory = None if times.gpu_peak_bytes is None else times.gpu_peak_bytes / 2**30
        rows.append(
            [
                Cell(text=entry.team, small=doubts(entry)),
                figure_cell(times.requests, 0),
                figure_cell(times.median_seconds, 2),
                figure_cell(times.longest_seconds, 2),
                figure_cell(times.load_seconds, 2),
                figure_cell(memory, 2),
            ]
        )
        data.append({"team": entry.team, "submission": entry.submission} | asdict(times))
    return Table(
        name=f"{board_key(board)}.times",
        title="Time and memory",
        note="Seconds by the evaluator’s clock; those of loading are not part of a request. Memory "
        "of the GPU is what the model reports.",
        columns=[
            Column(title="team", words=True),
            Column(title="requests"),
            Column(title="median, s"),
            Column(title="longest, s"),
            Column(title="loading, s"),
            Column(title="GPU memory, GiB"),
        ],
        rows=rows,
        data=pd.DataFrame(data),
        warnings=warnings,
    )


def failures_table(board: Board, failures: str, warnings: Sequence[str]) -> Table:
    """Predictions by status, and what scores count as."""
    rows, data = [], []
    for entry in board.entries:
        counts = entry.counts_as
        failed = counts.get("worst", 0) + counts.get("baseline", 0)
        total = failed + counts.get("submission", 0)
        share = 100 * failed / total if total else None
        predictions = ", ".join(f"{count} {name}" for name, count in entry.predictions.items())
        rows.append(
            [
                Cell(text=entry.team, small=doubts(entry)),
                Cell(text=predictions or NOTHING),
                figure_cell(counts.get("submission", 0), 0),
                figure_cell(counts.get("worst", 0), 0),
                figure_cell(counts.get("baseline", 0), 0),
                figure_cell(counts.get("excluded", 0), 0),
                figure_cell(share, 1),
            ]
        )
        data.append({"team": entry.team, "submission": entry.submission} | dict(counts))
    return Table(
        name=f"{board_key(board)}.failures",
        title="Failures",
        note=f"A prediction without a valid mask counts as {_FAILURES[failures]}. Where the "
        "baseline has none, and for a distance to an empty mask, it is the worst value. Scores of "
        "metrics that are not defined for a target are left out.",
        columns=[
            Column(title="team", words=True),
            Column(title="predictions by status", words=True),
            Column(title="scores of the submission", starts=True),
            Column(title="worst value"),
            Column(title="baseline’s"),
            Column(title="left out"),
            Column(title="replaced, %"),
        ],
        rows=rows,
        data=pd.DataFrame(data),
        warnings=warnings,
    )


def history_table(board: Board, warnings: Sequence[str]) -> Table | None:
    """The submissions in the order of arrival; None without one."""
    if not board.history:
        return None
    rows = []
    metrics = [metric.name for metric in board.metrics]
    for entry in board.history:
        state = f"{entry.state} (fault of the {entry.fault})" if entry.fault else entry.state
        scores = [_score_cell(entry, name) for name in metrics]
        rows.append(
            [
                Cell(text=entry.submission),
                Cell(text=entry.team),
                Cell(text=entry.received[:16].replace("T", " "), sort=entry.received),
                Cell(text=state),
                *scores,
                Cell(text=_remark(entry)),
            ]
        )
    data = [asdict(entry) for entry in board.history]
    return Table(
        name=f"{board_key(board)}.submissions",
        title="Submissions",
        note="In the order of arrival, UTC. Scores are means over all modalities and targets.",
        columns=[
            Column(title="submission", words=True),
            Column(title="team", words=True),
            Column(title="received", words=True),
            Column(title="state", words=True),
            *(Column(title=METRICS[name].title) for name in metrics),
            Column(title="remark", words=True),
        ],
        rows=rows,
        data=pd.DataFrame(data).drop(columns="scores"),
        warnings=warnings,
    )


def _score_cell(entry: HistoryEntry, metric: str) -> Cell:
    value = entry.scores.get(metric)
    digits = digits_of(metric)
    return Cell(text=number(value, digits), sort=value, kind="nothing" if value is None else "")


def _remark(entry: HistoryEntry) -> str:
    if entry.counts:
        return "shown in the ranking"
    if entry.reason:
        return f"not ranked: {entry.reason}"
    return entry.detail or NOTHING
