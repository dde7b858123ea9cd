"""Subgroups of subjects: PET against CT or MR within each scanner, sex or age group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.comparison.subgroups import compare_subgroups
from evaluator.analysis.subgroup_ranking import rank_subgroups
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.pages.subgroup_ranks import rank_table
from evaluator.report.tables import (
    Cell,
    Column,
    Table,
    cell_text,
    digits_of,
    families_text,
    figure_cell,
    interval,
    probability,
    rows_of,
)

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

NOTE = (
    "Raw differences: the grid's part is not taken out. All subgroups are one family of tests. A "
    "difference in one subgroup alone does not show that subgroups differ."
)


def make(report: Report) -> Page | None:
    """One table of differences and one of means for each benchmark; None without ``--by``."""
    options = report.options
    if not options.columns:
        return None
    split = compare_subgroups(
        report.results, options.columns, margins=options.margins, families=options.families
    )
    several = any(len(benchmark.models) > 1 for benchmark in report.benchmarks)
    ranks = rank_subgroups(report.results, options.columns) if several else None
    parts = []
    for benchmark in report.benchmarks:
        differences = _of(split.subgroups, benchmark)
        means = _of(split.subgroup_means, benchmark)
        ranking = rank_table(benchmark, ranks) if ranks and len(benchmark.models) > 1 else None
        parts.append(
            {
                "benchmark": benchmark,
                "ranks": report.site.table(ranking) if ranking else "",
                "differences": report.site.table(_difference_table(benchmark, differences)),
                "means": report.site.table(_mean_table(benchmark, means)),
            }
        )
    return Page(
        file="subgroups.html",
        nav="subgroups.html",
        title="Subgroups",
        short="Subgroups",
        template="subgroups.html",
        context={"page_parts": parts, "columns": options.columns},
    )


def _of(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Rows of a benchmark that count failures, over all targets."""
    return frame[
        (frame["dataset"] == benchmark.group.dataset)
        & (frame["protocol"] == benchmark.protocol.id)
        & (frame["failures"] == "counted")
        & (frame["target"] == ALL_TARGETS)
    ]


def _difference_table(benchmark: Benchmark, frame: pd.DataFrame) -> Table:
    digits = digits_of(benchmark.metric)
    columns = [
        Column(title="model", words=True),
        Column(title="by", words=True),
        Column(title="subgroup", words=True),
        Column(title="pair", words=True),
        Column(title="n", help="subjects with both images"),
        Column(title="structural"),
        Column(title="PET"),
        Column(title="difference", help="mean paired difference and its 95 % interval"),
        Column(title="p (Holm)", help="sign-flip test, adjusted over all subgroups"),
        Column(title="verdict", words=True),
    ]
    return Table(
        name=f"{benchmark.key}.subgroups",
        title=f"{METRICS[benchmark.metric].title}: structural minus PET within subgroups",
        note=f"{NOTE} {families_text(frame)}",
        columns=columns,
        rows=[_difference_cells(row, digits, benchmark.circular) for row in rows_of(frame)],
        data=frame,
        warnings=benchmark.warnings,
    )


def _difference_cells(row: Any, digits: int, circular: frozenset[str]) -> list[Cell]:
    kind = _kind_of(row)
    reason = cell_text(row.verdict_reason if row.status == "ok" else row.explanation)
    return [
        Cell(text=str(row.model), small="circular" if str(row.model) in circular else ""),
        Cell(text=str(row.by)),
        Cell(text=str(row.subgroup)),
        Cell(text=str(row.modality_pair)),
        Cell(text=str(row.n), sort=int(row.n)),
        figure_cell(row.mean_structural, digits),
        figure_cell(row.mean_functional, digits),
        figure_cell(
            row.difference,
            digits,
            sign=True,
            small=interval(row.low, row.high, digits, sign=True),
        ),
        Cell(text=probability(row.p_holm)),
        Cell(text=cell_text(row.verdict), kind=f"tag {kind}", small=reason),
    ]


def _kind_of(row: Any) -> str:
    """The style sheet's class of a verdict: worse, better or the same on PET, or open."""
    if row.verdict == "equivalent":
        return "same"
    if not str(row.verdict).startswith("different") or pd.isna(row.rank_biserial):
        return "open"
    return "worse" if row.rank_biserial > 0 else "better"


def _mean_table(benchmark: Benchmark, frame: pd.DataFrame) -> Table:
    digits = digits_of(benchmark.metric)
    frame = frame[frame["modality_pair"] == "all"]
    columns = [
        Column(title="model", words=True),
        Column(title="by", words=True),
        Column(title="subgroup", words=True),
        Column(title="modality", words=True),
        Column(title="n", help="subjects"),
        Column(title="mean", help="mean over subjects and its 95 % interval"),
    ]
    rows = []
    for row in rows_of(frame):
        words = [Cell(text=str(getattr(row, name))) for name in ("model", "by", "subgroup")]
        small = interval(row.low, row.high, digits)
        count = Cell(text=str(row.n), sort=int(row.n))
        modality = Cell(text=str(row.modality))
        rows.append([*words, modality, count, figure_cell(row.mean, digits, small=small)])
    return Table(
        name=f"{benchmark.key}.subgroup-means",
        title=f"{METRICS[benchmark.metric].title} within subgroups",
        note="Every scan of a modality. In small print: 95 % interval.",
        columns=columns,
        rows=rows,
        data=frame,
        warnings=benchmark.warnings,
    )
