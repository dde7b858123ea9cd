"""Robustness to the prompt: score over displacement of the point or growth of the box."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.score_array import INCLUDED
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.curves import curves
from evaluator.report.subject_values import mean_with_interval, score_array_of
from evaluator.report.tables import (
    MODALITY_NAMES,
    Cell,
    Column,
    Table,
    digits_of,
    figure_cell,
    interval,
    rows_of,
)
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

#: field of a prompt plan -> its title, and how a value is formatted
FIELDS: dict[str, tuple[str, Callable[[float], str]]] = {
    "point_offset_mm": ("displacement of the point, mm", lambda x: f"{x:g} mm"),
    "box_growth": ("growth of the box's edges, %", lambda x: f"{100 * x:+g} %".replace("-", "−")),
    "box_jitter_mm": ("movement of the box's faces, up to, mm", lambda x: f"{x:g} mm"),
    "points": ("points", lambda x: f"{x:g}"),
}


def make(report: Report) -> Page | None:
    """Make the page; None if no protocol varies its prompts."""
    parts = [part for benchmark in report.benchmarks if (part := _part(report, benchmark))]
    if not parts:
        return None
    return Page(
        file="robustness.html",
        nav="robustness.html",
        title="Robustness to the prompt",
        short="Robustness",
        template="robustness.html",
        context={"page_parts": parts},
    )


def varied(benchmark: Benchmark) -> str | None:
    """Return the field in which the protocol's variants differ; None unless it is one field."""
    plans = [asdict(plan) for plan in benchmark.protocol.variants]
    differing = []
    for name in FIELDS:
        if len({plan[name] for plan in plans}) > 1:
            differing.append(name)
    return differing[0] if len(differing) == 1 else None


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any] | None:
    field = varied(benchmark)
    if field is None:
        return None
    overall, by_target = _levels(benchmark, field)
    along = FIELDS[field][0]
    shown = overall.assign(x=overall["x"] * (100 if field == "box_growth" else 1))
    plot = curves(
        shown, benchmark.metric, along=along,
        title=f"{METRICS[benchmark.metric].title} over the {along.split(',')[0]}",
        caption="Mean over subjects of the mean over their targets and seeds; band: its 95 % "
        "interval (BCa bootstrap over subjects); failures are included as the protocol defines. "
        "Compare a difference between modalities with this spread.",
        name=f"{benchmark.key}.robustness", warnings=benchmark.warnings,
    )  # fmt: skip
    return {
        "benchmark": benchmark,
        "figure": report.site.figure(plot),
        "table": report.site.table(_table(benchmark, field, overall)),
        "targets": report.site.table(_target_table(benchmark, field, by_target)),
    }


def _levels(benchmark: Benchmark, field: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return means over all targets with intervals and counts, and means by target."""
    seeds: dict[float, list[int]] = {}
    for seed in benchmark.protocol.seeds:
        seeds.setdefault(float(getattr(benchmark.protocol.prompts_of(seed), field)), []).append(
            seed
        )
    scores = benchmark.group.results.scores
    overall, by_target = [], []
    for x, selected in sorted(seeds.items()):
        score_array = score_array_of(
            benchmark, benchmark.metric, scores[scores["seed"].isin(selected)]
        )
        values = score_array.per_subject(score_array.values[INCLUDED])
        means = _mean(values, 3)
        for m, model in enumerate(score_array.models):
            for place, modality in enumerate(MODALITIES):
                if not score_array.attempted[m, :, place].any():
                    continue
                column = _mean(values[m, :, place], 0)
                column = column[~np.isnan(column)][:, None]
                mean, ends = mean_with_interval(column)
                same = {"model": model, "modality": modality, "x": x}
                counts = {"n": len(column), "failed": int(score_array.failed[m, :, place].sum())}
                overall.append(
                    same | {"mean": mean[0], "low": ends[0, 0], "high": ends[1, 0]} | counts
                )
                by_target += [
                    same | {"target": target, "mean": means[m, t, place]}
                    for t, target in enumerate(score_array.targets)
                ]
    return pd.DataFrame(overall), pd.DataFrame(by_target)


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean of what is there; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=axis)
    sums: NDArray[np.float64] = np.nansum(values, axis=axis)
    return np.where(count, sums / np.maximum(count, 1), np.nan)


def _table(benchmark: Benchmark, field: str, rows: pd.DataFrame) -> Table:
    format_value, digits = FIELDS[field][1], digits_of(benchmark.metric)
    steps = sorted(rows["x"].unique())
    cells = {(r.model, r.modality, r.x): r for r in rows_of(rows)}
    keys = list(dict.fromkeys(zip(rows["model"], rows["modality"], strict=True)))
    rows_of_table = []
    for key in sorted(keys):
        selected = [cells.get((*key, x)) for x in steps]
        present = [row.mean for row in selected if row is not None and pd.notna(row.mean)]
        rows_of_table.append(
            [
                Cell(text=key[0]),
                Cell(text=MODALITY_NAMES[key[1]]),
                *(_level(row, digits) for row in selected),
                figure_cell(max(present) - min(present) if present else None, digits),
            ]
        )
    return Table(
        name=f"{benchmark.key}.robustness-table",
        title=f"Mean {METRICS[benchmark.metric].title} over all targets, by {FIELDS[field][0]}",
        note="In small print: 95 % interval over subjects, subjects, failures.",
        columns=[
            Column(title="model", words=True),
            Column(title="modality", words=True),
            *(Column(title=format_value(x)) for x in steps),
            Column(title="spread", help="largest less smallest of these means", starts=True),
        ],
        rows=rows_of_table,
        data=rows,
        warnings=benchmark.warnings,
    )


def _level(row: Any, digits: int) -> Cell:
    if row is None:
        return Cell(text="–", kind="nothing")
    small = f"{interval(row.low, row.high, digits)} n {row.n}" + (
        f", {row.failed} failed" if row.failed else ""
    )
    return figure_cell(row.mean, digits, small=small)


def _target_table(benchmark: Benchmark, field: str, rows: pd.DataFrame) -> Table:
    format_value, digits = FIELDS[field][1], digits_of(benchmark.metric)
    steps = sorted(rows["x"].unique())
    wide = rows.pivot_table(
        index=["model", "modality", "target"],
        columns="x",
        values="mean",
        observed=True,
        dropna=False,
    )
    wide = wide[wide.notna().any(axis=1)]
    named: list[tuple[Any, pd.Series[float]]] = list(wide.iterrows())
    return Table(
        name=f"{benchmark.key}.robustness-targets",
        title=f"Mean {METRICS[benchmark.metric].title} by target and {FIELDS[field][0]}",
        columns=[
            Column(title="model", words=True),
            Column(title="modality", words=True),
            Column(title="target", words=True),
            *(Column(title=format_value(x)) for x in steps),
            Column(title="spread", starts=True),
        ],
        rows=[
            [
                Cell(text=str(model)),
                Cell(text=MODALITY_NAMES[str(modality)]),
                Cell(text=str(target)),
                *(figure_cell(row[x], digits) for x in steps),
                figure_cell(row.max() - row.min(), digits),
            ]
            for (model, modality, target), row in named
        ],
        data=rows,
        warnings=benchmark.warnings,
    )
