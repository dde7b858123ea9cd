"""Resolution: CT, CT at PET's grid, CT at PET's grid and blur, PET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.resolution import has_steps, resolution_steps
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.curves import curves
from evaluator.report.tables import (
    SCANNER,
    Cell,
    Column,
    Table,
    digits_of,
    figure_cell,
    interval,
    rows_of,
)

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report


def make(report: Report) -> Page | None:
    """Make the page; None if no protocol shows CT or MR at PET's grid."""
    parts = [
        _part(report, benchmark) for benchmark in report.benchmarks if has_steps(benchmark.protocol)
    ]
    parts = [part for part in parts if part["pairs"]]
    if not parts:
        return None
    return Page(
        file="resolution.html",
        nav="resolution.html",
        title="How much of the difference is resolution",
        short="Resolution",
        template="resolution.html",
        context={"page_parts": parts},
    )


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any]:
    scores = benchmark.group.results.scores
    rows = resolution_steps(scores, benchmark.protocol, benchmark.metric, benchmark.models)
    pairs = []
    for modality_pair in benchmark.modality_pairs:
        of_pair = rows[rows["modality_pair"] == modality_pair]
        if of_pair.empty:
            continue
        overall = of_pair[of_pair["target"] == ALL_TARGETS]
        pairs.append(
            {
                "name": SCANNER[modality_pair],
                "figure": report.site.figure(_figure(benchmark, modality_pair, overall)),
                "table": report.site.table(_table(benchmark, modality_pair, overall, "")),
                "targets": report.site.table(
                    _table(
                        benchmark,
                        modality_pair,
                        of_pair[of_pair["target"] != ALL_TARGETS],
                        "targets",
                    )
                ),
            }
        )
    return {"benchmark": benchmark, "pairs": pairs}


def _figure(benchmark: Benchmark, modality_pair: str, rows: pd.DataFrame) -> Any:
    last = rows["step"].max()
    structural, functional = modality_pair.split("-")
    modality = [functional if step == last else structural for step in rows["step"]]
    names = dict(zip(rows["step"], rows["image"], strict=True))
    along = "; ".join(f"{step}: {name}" for step, name in sorted(names.items()))
    title = METRICS[benchmark.metric].title
    return curves(
        rows.assign(x=rows["step"], modality=modality),
        benchmark.metric,
        along="step",
        title=f"{title} from {structural} to PET in steps of resolution",
        caption=f"Steps: {along}. Mean over subjects of the mean over their targets; band: its 95 "
        "% interval; failures are included as the protocol defines.",
        name=f"{benchmark.key}.resolution.{modality_pair}",
        warnings=benchmark.warnings,
    )


def _table(benchmark: Benchmark, modality_pair: str, rows: pd.DataFrame, part: str) -> Table:
    digits = digits_of(benchmark.metric)
    steps = dict(zip(rows["step"], rows["image"], strict=True))
    by_step = {(str(r.model), str(r.target), int(r.step)): r for r in rows_of(rows)}
    keys = list(dict.fromkeys(key[:2] for key in by_step))
    cells = []
    for model, target in keys:
        selected = [by_step[model, target, step] for step in sorted(steps)]
        cells.append(
            [
                Cell(text=model),
                Cell(text=target),
                Cell(text=str(selected[0].n)),
                *(_step_cell(row, digits) for row in selected),
            ]
        )
    title = METRICS[benchmark.metric].title
    return Table(
        name=f"{benchmark.key}.resolution-table.{modality_pair}{'.' if part else ''}{part}",
        title=f"Mean {title} in steps of resolution{', by target' if part else ''}",
        note="In small print: change from the step before, with its 95 % interval over subjects.",
        columns=[
            Column(title="model", words=True),
            Column(title="target", words=True),
            Column(title="n", help="subjects with a score at every step"),
            *(Column(title=steps[step]) for step in sorted(steps)),
        ],
        rows=cells,
        data=rows,
        warnings=benchmark.warnings,
    )


def _step_cell(row: Any, digits: int) -> Cell:
    small = ""
    if pd.notna(row.change):
        ends = interval(row.change_low, row.change_high, digits, sign=True)
        small = f"{row.change:+.{digits}f}\n{ends}".replace("-", "−")
    return figure_cell(row.mean, digits, small=small)
