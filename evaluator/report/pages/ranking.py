"""Ranking: both orders of aggregation, their stability, and significant differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.ranking import rank
from evaluator.report.context import Page
from evaluator.report.figures.rank_distribution import places
from evaluator.report.pages.summary_tables import models_table
from evaluator.report.tables import (
    NOTHING,
    Cell,
    Column,
    Table,
    figure_cell,
    interval,
    number,
    probability,
    rows_of,
)

if TYPE_CHECKING:
    from evaluator.analysis.ranking import Ranks
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report


def make(report: Report) -> Page | None:
    """Make the page; None if no benchmark has two models."""
    benchmarks = [benchmark for benchmark in report.benchmarks if len(benchmark.models) > 1]
    if not benchmarks:
        return None
    ranks = rank(report.results)
    return Page(
        file="ranking.html",
        nav="ranking.html",
        title="Ranking",
        short="Ranking",
        template="ranking.html",
        context={"page_parts": [_part(report, benchmark, ranks) for benchmark in benchmarks]},
    )


def _rows(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    return frame[
        (frame["dataset"] == benchmark.group.dataset) & (frame["protocol"] == benchmark.protocol.id)
    ]


def _part(report: Report, benchmark: Benchmark, all_ranks: Ranks) -> dict[str, Any]:
    ranks, stability = _rows(all_ranks.ranks, benchmark), _rows(all_ranks.stability, benchmark)
    ranked = ranks[ranks["place"].notna()]
    if ranked.empty:
        return {
            "benchmark": benchmark,
            "reason": str(ranks["explanation"].iloc[0]),
            "models": models_table(report, benchmark),
        }
    distribution = _rows(all_ranks.distribution, benchmark)
    remarks = ranked["explanation"].dropna()
    return {
        "benchmark": benchmark,
        "reason": "",
        "models": models_table(report, benchmark),
        "figure": report.site.figure(
            places(
                distribution, ranked, name=f"{benchmark.key}.places", warnings=benchmark.warnings
            )
        ),
        "table": report.site.table(_table(benchmark, ranked)),
        "stability": [_stability(row) for row in rows_of(stability)],
        "remark": str(remarks.iloc[0]) if len(remarks) else "",
        "map": report.site.table(_map(benchmark, ranked, _rows(all_ranks.significance, benchmark))),
    }


def _table(benchmark: Benchmark, ranks: pd.DataFrame) -> Table:
    orders = list(dict.fromkeys(ranks["order"]))
    by_place = {(row.order, row.model): row for row in rows_of(ranks)}
    ranked = [model for model in benchmark.models if (orders[0], model) in by_place]
    models = sorted(ranked, key=lambda model: (by_place[orders[0], model].place, model))
    columns = [Column(title="model", words=True)]
    upper = [("", 1)]
    for order in orders:
        upper.append((str(order), 3))
        columns += [
            Column(title="place", starts=True),
            Column(title="mean rank"),
            Column(title="first in, %"),
        ]
    rows = []
    for model in models:
        cells = [Cell(text=model)]
        for order in orders:
            cells += _places(by_place[order, model])
        rows.append(cells)
    return Table(
        name=f"{benchmark.key}.ranks",
        title="Places by both orders of aggregation",
        note="Over all targets, modalities and metrics. In small print: 95 % interval of the place "
        "over resamples of subjects.",
        columns=columns,
        upper=upper,
        rows=rows,
        data=ranks,
        warnings=benchmark.warnings,
    )  # fmt: skip


def _places(row: Any) -> list[Cell]:
    spread = "" if pd.isna(row.place_low) else f"{int(row.place_low)} to {int(row.place_high)}"
    return [
        Cell(text=str(int(row.place)), sort=int(row.place), small=spread),
        figure_cell(row.mean_rank, 2),
        figure_cell(None if pd.isna(row.first) else 100 * row.first, 0),
    ]


def _stability(row: Any) -> str:
    tau = f"{number(row.tau, 2)} {interval(row.tau_low, row.tau_high, 2)}"
    return (
        f"{row.order}: {int(row.subjects)} subjects, {int(row.tasks)} tasks; Kendall’s tau-b "
        f"between the rankings of a resample and of all subjects {tau}; between the two orders "
        f"{number(row.tau_between, 2)}."
    )


def _map(benchmark: Benchmark, ranks: pd.DataFrame, significance: pd.DataFrame) -> Table:
    order = ranks[ranks["order"] == ranks["order"].iloc[-1]].sort_values(
        ["place", "model"], kind="stable"
    )
    models = [str(model) for model in order["model"]]
    p = {(str(row.model), str(row.other)): row.p_holm for row in rows_of(significance)}
    return Table(
        name=f"{benchmark.key}.significance",
        title="Significant differences in rank",
        note="Adjusted p of equal mean ranks of two models over subjects (signed-rank test, Holm "
        "over all pairs). Filled: the row’s model is better and p is below 5\u00a0%.",
        columns=[
            Column(title="better than", words=True),
            *(Column(title=model) for model in models),
        ],
        rows=[
            [Cell(text=model), *(_pair(p, model, second) for second in models)] for model in models
        ],
        data=significance,
        warnings=benchmark.warnings,
    )


def _pair(p: dict[tuple[str, str], Any], model: str, second: str) -> Cell:
    value = p.get((model, second))
    if value is None or pd.isna(value):
        return Cell(text="" if model == second else NOTHING, kind="nothing")
    is_significant = float(value) < 0.05
    return Cell(
        text=probability(value),
        sort=float(value),
        heat=("#0f537d", "#ffffff") if is_significant else None,
    )
