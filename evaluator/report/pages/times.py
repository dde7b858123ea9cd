"""Seconds of requests and of loading, the GPU memory that models report, and prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.report.context import Page
from evaluator.report.figures.times import times
from evaluator.report.pages.effort_table import effort_table
from evaluator.report.tables import MODALITY_NAMES, Cell, Column, Table, figure_cell, rows_of

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

REQUEST = ["run", "model", "case", "modality", "seed", "round"]


def make(report: Report) -> Page | None:
    """None where no run has a request that was timed."""
    parts = [part for benchmark in report.benchmarks if (part := _part(report, benchmark))]
    if not parts:
        return None
    return Page(
        file="times.html",
        nav="times.html",
        title="Time, memory and effort",
        short="Time and memory",
        template="times.html",
        context={"page_parts": parts},
    )


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any] | None:
    requests = benchmark.group.results.predictions
    requests = requests[requests["seconds"].notna()].drop_duplicates(REQUEST)
    if requests.empty:
        return None
    rows = _figures(requests)
    return {
        "benchmark": benchmark,
        "figure": report.site.figure(
            times(rows, name=f"{benchmark.key}.times", warnings=benchmark.warnings)
        ),
        "table": report.site.table(_table(benchmark, rows)),
        "effort": report.site.table(effort_table(benchmark)),
        "machines": _machines(benchmark),
    }


def _figures(requests: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (model, modality), selected in requests.groupby(["model", "modality"], observed=True):
        seconds = selected["seconds"].astype(float)
        q1, median, q3, p95 = seconds.quantile([0.25, 0.5, 0.75, 0.95])
        peak, load = selected["gpu_peak_bytes"].max(), selected["load_seconds"].max()
        rows.append(
            {
                "model": str(model),
                "modality": str(modality),
                "requests": len(selected),
                "q1": q1,
                "median": median,
                "q3": q3,
                "p95": p95,
                "slowest": seconds.max(),
                "load": load,
                "gpu_peak_gib": pd.NA if pd.isna(peak) else float(peak) / 2**30,
            }
        )
    return pd.DataFrame(rows)


def _table(benchmark: Benchmark, rows: pd.DataFrame) -> Table:
    columns = [Column(title="model", words=True), Column(title="modality", words=True)]
    columns += [
        Column(title="requests"),
        Column(title="median, s"),
        Column(title="quartiles, s"),
        Column(title="95 %, s"),
        Column(title="slowest, s"),
        Column(title="load, s", help="longest start of the model, the container's included"),
    ]
    lines = rows["gpu_peak_gib"].notna().any()
    columns += [Column(title="GPU peak, GiB", help="as the model reported")] if lines else []
    return Table(
        name=f"{benchmark.key}.times-table",
        title="Seconds a request",
        note="A request is for all targets of one image. The evaluator measures from the request "
        "to its outcome. A model that gets its requests in batches is timed from answer to answer; "
        "the first one of a batch includes the start of container and model.",
        columns=columns,
        rows=[
            [
                Cell(text=row.model),
                Cell(text=MODALITY_NAMES[row.modality]),
                Cell(text=str(row.requests), sort=row.requests),
                _seconds(row.median),
                Cell(text=f"{_seconds(row.q1).text} to {_seconds(row.q3).text}", sort=row.q1),
                _seconds(row.p95),
                _seconds(row.slowest),
                figure_cell(row.load, 1),
                *([figure_cell(row.gpu_peak_gib, 2)] if lines else []),
            ]
            for row in rows_of(rows)
        ],
        data=rows,
        warnings=benchmark.warnings,
    )


def _seconds(value: float) -> Cell:
    return figure_cell(value, 2 if value >= 0.1 else 4)


def _machines(benchmark: Benchmark) -> list[str]:
    """Describe the machines without their names."""
    lines = []
    for run in benchmark.runs:
        host, gpus = run.info.host, run.info.gpus
        cards = ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in gpus) or "no GPU"
        machine = f"{host.machine}, {host.cores or 'unknown'} cores"
        lines.append(f"{machine}, {cards}, engine {run.engine}")
    return list(dict.fromkeys(lines))
