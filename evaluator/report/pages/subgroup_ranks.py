"""The table of rankings within subgroups, on the page of subgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.report.tables import Cell, Column, Table, figure_cell, rows_of

if TYPE_CHECKING:
    from evaluator.analysis.ranking import Ranks
    from evaluator.report.benchmark import Benchmark

ORDER = "aggregate-then-rank"


def rank_table(benchmark: Benchmark, split: Ranks) -> Table | None:
    """Places of the models within each subgroup; None if no subgroup has a ranking."""
    ranks, stability = (_of(frame, benchmark) for frame in (split.ranks, split.stability))
    ranks = ranks[ranks["place"].notna()].sort_values(["by", "subgroup", "place", "model"])
    if ranks.empty:
        return None
    counts = stability.set_index(["by", "subgroup"])["subjects"].to_dict()
    columns = [
        Column(title="by", words=True),
        Column(title="subgroup", words=True),
        Column(title="n", help="subjects in the ranking"),
        Column(title="model", words=True),
        Column(title="place", help="place, and its 95 % interval over resamples of subjects"),
        Column(title="mean rank"),
        Column(title="first in, %", help="share of the resamples in which the model is first"),
    ]
    return Table(
        name=f"{benchmark.key}.subgroup-ranks",
        title="Ranking within subgroups",
        note="Over all targets, modalities and metrics, mean first and then rank. In small print: "
        "95 % interval of the place over resamples of the subgroup's subjects. Another order in "
        "one subgroup alone does not show that subgroups differ.",
        columns=columns,
        rows=[_cells(row, counts[row.by, row.subgroup]) for row in rows_of(ranks)],
        data=_of(split.ranks, benchmark),
        warnings=benchmark.warnings,
    )


def _of(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Rows of a benchmark in one order of aggregation."""
    return frame[
        (frame["dataset"] == benchmark.group.dataset)
        & (frame["protocol"] == benchmark.protocol.id)
        & (frame["order"] == ORDER)
    ]


def _cells(row: Any, count: Any) -> list[Cell]:
    spread = "" if pd.isna(row.place_low) else f"{int(row.place_low)} to {int(row.place_high)}"
    return [
        Cell(text=str(row.by)),
        Cell(text=str(row.subgroup)),
        Cell(text=str(int(count)), sort=int(count)),
        Cell(text=str(row.model)),
        Cell(text=str(int(row.place)), sort=int(row.place), small=spread),
        figure_cell(row.mean_rank, 2),
        figure_cell(None if pd.isna(row.first) else 100 * row.first, 0),
    ]
