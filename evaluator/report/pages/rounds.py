"""Rounds of corrections: how the score rises, and what a click is worth. Only for benchmarks with rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.interaction import DICE_LEVELS, summarise_rounds
from evaluator.metrics import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.curves import curves
from evaluator.report.subject_values import mean_with_interval
from evaluator.report.tables import SAID, Cell, Column, Table, figure_cell, number

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

#: what curves are of: a score in [0, 1]
METRIC = "dice"


def make(report: Report) -> Page | None:
    """None where no benchmark has rounds."""
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
    plot = curves(
        rows, METRIC, along="round",
        title=f"{METRICS[METRIC].title} over rounds, mean over all targets",
        caption="Mean over subjects of the mean over their targets; band: its 95 % interval (BCa bootstrap over subjects). "
        "A failed round counts as 0; a target that ended early keeps its last score.",
        name=f"{benchmark.key}.rounds", warnings=benchmark.warnings,
    )  # fmt: skip
    entries = [
        entry
        for run in benchmark.runs
        for entry in _renamed(summarise_rounds(run.store, METRIC), run.label)
    ]
    return {
        "benchmark": benchmark,
        "figure": report.site.figure(plot) if len(rows) else None,
        "table": report.site.table(_table(benchmark, entries)) if entries else None,
    }


def _renamed(entries: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    return [entry | {"model": label} for entry in entries]


def _curves(benchmark: Benchmark) -> pd.DataFrame:
    """model, modality, x (round), mean, low, high, n."""
    scores = benchmark.group.results.scores
    scores = scores[
        (scores["metric"] == METRIC)
        & ~scores["status"].isin(["undefined", "not-run", "unsupported"])
    ]
    value = scores["value"].astype(float).where(scores["status"] == "ok", 0.0)
    keys = ["model", "modality", "subject", "case", "target", "seed"]
    wide = scores.assign(value=value).pivot_table(
        index=keys, columns="round", values="value", observed=True
    )
    wide = wide.reindex(columns=range(benchmark.protocol.rounds.count)).ffill(axis=1)
    subjects = wide.groupby(["model", "modality", "subject"], observed=True).mean()
    rows = []
    for (model, modality), own in subjects.groupby(["model", "modality"], observed=True):
        mean, ends = mean_with_interval(own.to_numpy(dtype=float))
        same = {"model": str(model), "modality": str(modality), "n": len(own)}
        rows += [
            same | {"x": n, "mean": mean[n], "low": ends[0, n], "high": ends[1, n]}
            for n in range(len(mean))
        ]
    return pd.DataFrame(
        rows, columns=["model", "modality", "x", "mean", "low", "high", "n"]
    ).replace({np.nan: None})


def _table(benchmark: Benchmark, entries: list[dict[str, Any]]) -> Table:
    columns = [
        Column(title="model", words=True),
        Column(title="target", words=True),
        Column(title="modality", words=True),
    ]
    columns += [
        Column(title="n", help="subjects"),
        Column(title="predictions"),
        Column(title="failed rounds"),
        Column(title="first", help="mean score of round 0"),
        Column(title="last", help="mean score of the last round"),
        Column(title="area", help="mean area under score over rounds, from 0 to 1"),
    ]
    columns += [
        Column(
            title=f"clicks to {wanted:.2f}",
            help="mean; a target that never gets there counts as the budget",
        )
        for wanted in DICE_LEVELS
    ]
    columns += [
        Column(title="first gain", help="what the first correction gave, mean"),
        Column(title="lost", help="mean score lost by a correction"),
        Column(title="s a request", help="median"),
    ]
    return Table(
        name=f"{benchmark.key}.rounds-table",
        title="What corrections bring, by target",
        note="In small print: how many targets never got to the wanted Dice. A failed round counts as 0 in curves and areas.",
        columns=columns,
        rows=[_row(entry) for entry in entries],
        data=_flat(entries),
        warnings=benchmark.warnings,
    )


def _row(entry: dict[str, Any]) -> list[Cell]:
    return [
        Cell(text=entry["model"]),
        Cell(text=entry["target"]),
        Cell(text=SAID[entry["modality"]]),
        Cell(text=str(entry["subjects"]), sort=entry["subjects"]),
        Cell(text=str(entry["predictions"]), sort=entry["predictions"]),
        Cell(text=str(entry["failed_rounds"]), sort=entry["failed_rounds"]),
        figure_cell(entry["curve"][0]),
        figure_cell(entry["curve"][-1]),
        figure_cell(entry["area"]),
        *(
            Cell(
                text=number(one["clicks"], 1),
                sort=one["clicks"],
                small=f"{one['never']} never" if one["never"] else "",
            )
            for one in entry["noc"].values()
        ),
        figure_cell(entry["first_gain"], sign=True),
        figure_cell(entry["instability"]),
        figure_cell(entry["seconds"], 2),
    ]


def _flat(entries: list[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for entry in entries:
        flat = {name: value for name, value in entry.items() if name not in ("curve", "noc")}
        flat |= {f"round_{n}": value for n, value in enumerate(entry["curve"])}
        for wanted, one in entry["noc"].items():
            flat |= {f"clicks_to_{wanted}": one["clicks"], f"never_{wanted}": one["never"]}
        rows.append(flat)
    return pd.DataFrame(rows)
