"""Rounds of corrections: how scores rise, and how many clicks they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.interaction import DICE_LEVELS, summarise_rounds
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.curves import curves
from evaluator.report.subject_values import mean_with_interval
from evaluator.report.tables import MODALITY_NAMES, Cell, Column, Table, figure_cell, number

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

#: metric of the curves: a score in [0, 1]
METRIC = "dice"


def make(report: Report) -> Page | None:
    """Make the page; None if no benchmark has rounds of corrections."""
    benchmarks = [
        benchmark
        for benchmark in report.benchmarks
        if benchmark.protocol.rounds.count > 1 and METRIC in benchmark.protocol.metrics
    ]
    if not benchmarks:
        return None
    return Page(
        file="rounds.html",
        nav="rounds.html",
        title="Rounds of corrections",
        short="Rounds",
        template="rounds.html",
        context={"page_parts": [_part(report, benchmark) for benchmark in benchmarks]},
    )


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any]:
    rows = _curves(benchmark)
    entries = []
    for run in benchmark.runs:
        entries += [entry | {"model": run.label} for entry in summarise_rounds(run.store, METRIC)]
    part: dict[str, Any] = {"benchmark": benchmark, "figure": None, "table": None}
    if len(rows):
        figure = curves(
            rows,
            METRIC,
            along="round",
            title=f"{METRICS[METRIC].title} over rounds, mean over all targets",
            caption="Mean over subjects of the mean over their targets; band: its 95 % interval "
            "(BCa bootstrap over subjects). A failed round counts as 0; a target that ended early "
            "keeps its last score.",
            name=f"{benchmark.key}.rounds",
            warnings=benchmark.warnings,
        )
        part["figure"] = report.site.figure(figure)
    if entries:
        part["table"] = report.site.table(_table(benchmark, entries))
    return part


def _curves(benchmark: Benchmark) -> pd.DataFrame:
    """Return columns model, modality, x (round), mean, low, high and n.

    A subject's sessions and seeds are averaged first, then its targets, as in all comparisons.
    """
    scores = benchmark.group.results.scores
    is_excluded = scores["status"].isin(["undefined", "not-run", "unsupported"])
    scores = scores[(scores["metric"] == METRIC) & ~is_excluded]
    value = scores["value"].astype(float).where(scores["status"] == "ok", 0.0)
    by_round = scores.assign(value=value).pivot_table(
        index=["model", "modality", "subject", "target", "case", "seed"],
        columns="round",
        values="value",
        observed=True,
    )
    by_round = by_round.reindex(columns=range(benchmark.protocol.rounds.count)).ffill(axis=1)
    by_target = by_round.groupby(["model", "modality", "subject", "target"], observed=True).mean()
    subjects = by_target.groupby(["model", "modality", "subject"], observed=True).mean()
    rows = []
    for (model, modality), group in subjects.groupby(["model", "modality"], observed=True):
        mean, (low, high) = mean_with_interval(group.to_numpy(dtype=float))
        labels = {"model": str(model), "modality": str(modality), "n": len(group)}
        for number_of_round in range(len(mean)):
            point = {
                "x": number_of_round,
                "mean": mean[number_of_round],
                "low": low[number_of_round],
                "high": high[number_of_round],
            }
            rows.append(labels | point)
    columns = ["model", "modality", "x", "mean", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns).replace({np.nan: None})


def _table(benchmark: Benchmark, entries: list[dict[str, Any]]) -> Table:
    needed = "mean over subjects; a prediction that never reaches it counts as the budget"
    columns = [
        Column(title="model", words=True),
        Column(title="target", words=True),
        Column(title="modality", words=True),
        Column(title="n", help="subjects"),
        Column(title="predictions"),
        Column(title="failed rounds"),
        Column(title="first", help="mean score of round 0 over subjects"),
        Column(title="last", help="mean score of the last round over subjects"),
        Column(title="area", help="mean area under score over rounds, from 0 to 1, over subjects"),
        *(Column(title=f"clicks to {level:.2f}", help=needed) for level in DICE_LEVELS),
        Column(title="first gain", help="mean gain of the first correction, over subjects"),
        Column(title="lost", help="mean score lost by a correction, over subjects"),
        Column(title="s a request", help="median over requests"),
    ]
    return Table(
        name=f"{benchmark.key}.rounds-table",
        title="Effect of corrections, by target; means over subjects",
        note="In small print: how many predictions never reach the Dice. A failed round counts as "
        "0 in curves and areas.",
        columns=columns,
        rows=[_row(entry) for entry in entries],
        data=_flat(entries),
        warnings=benchmark.warnings,
    )


def _row(entry: dict[str, Any]) -> list[Cell]:
    clicks = [
        Cell(
            text=number(needed["clicks"], 1),
            sort=needed["clicks"],
            small=f"{needed['never']} never" if needed["never"] else "",
        )
        for needed in entry["noc"].values()
    ]
    counts = [entry[name] for name in ("subjects", "predictions", "failed_rounds")]
    return [
        Cell(text=entry["model"]),
        Cell(text=entry["target"]),
        Cell(text=MODALITY_NAMES[entry["modality"]]),
        *(Cell(text=str(count), sort=count) for count in counts),
        figure_cell(entry["curve"][0]),
        figure_cell(entry["curve"][-1]),
        figure_cell(entry["area"]),
        *clicks,
        figure_cell(entry["first_gain"], sign=True),
        figure_cell(entry["instability"]),
        figure_cell(entry["seconds"], 2),
    ]


def _flat(entries: list[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for entry in entries:
        row = {name: value for name, value in entry.items() if name not in ("curve", "noc")}
        row |= {f"round_{n}": value for n, value in enumerate(entry["curve"])}
        for level, needed in entry["noc"].items():
            row |= {f"clicks_to_{level}": needed["clicks"], f"never_{level}": needed["never"]}
        rows.append(row)
    return pd.DataFrame(rows)
