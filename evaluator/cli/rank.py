"""``umd rank``: rank models by both orders of aggregation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option, split_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import benchmark_of, print_heading, print_note, print_table, table_options

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.runs.results import Group

_COLUMNS = (
    Column(name="place"),
    Column(name="model", text=True, wraps=True),
    Column(name="mean_rank"),
    Column(name="place", heading="95\u00a0% of resamples"),
    Column(name="first", heading="first in"),
)

_SUBGROUP_COLUMNS = (
    Column(name="by", text=True, shared=True),
    Column(name="subgroup", text=True),
    Column(name="subjects"),
    *_COLUMNS,
)


@click.command(
    epilog="Example: umd rank RUN1 RUN2 RUN3 --weight metric:dice=2 --weight target:brain=0.5"
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--metric", "metrics", multiple=True, help="Only these metrics (default: the protocol's)."
)
@click.option(
    "--weight",
    "weights",
    multiple=True,
    metavar="KIND:NAME=X",
    help="Weight of tasks; KIND is target, modality or metric.",
)
@split_option
@click.option("--round", "number", type=int, help="Round of corrections (default: the last).")
@table_options
@json_option("row of each table")
def rank(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    weights: tuple[str, ...],
    columns: tuple[str, ...],
    number: int | None,
    as_json: bool,
) -> None:
    """Rank the models of RUN... over all targets, modalities and metrics.

    Shows how stable the places are over resamples of the subjects.
    """
    from evaluator.analysis.comparison.output import plain
    from evaluator.analysis.ranking import FRAMES
    from evaluator.analysis.ranking import rank as rank_results
    from evaluator.analysis.subgroup_ranking import rank_subgroups
    from evaluator.runs.results import load

    results = load(runs)
    all_weights = dict(map(parse_weight, weights))
    ranks = rank_results(results, metrics=metrics, weights=all_weights, round_number=number)
    split = None
    if columns:
        split = rank_subgroups(
            results, columns, metrics=metrics, weights=all_weights, round_number=number
        )
    if as_json:
        for prefix, tables in (("", ranks), ("subgroup_", split)):
            for name in FRAMES if tables else ():
                for row in getattr(tables, name).to_dict("records"):
                    cells = {str(key): plain(value) for key, value in row.items()}
                    click.echo(json.dumps({"frame": prefix + name} | cells, allow_nan=False))
        return
    for group in results.groups():
        print_heading(group)
        _print_ranks(_rows(ranks.ranks, group), _rows(ranks.stability, group), group)
        if split:
            _print_subgroups(_rows(split.ranks, group), _rows(split.stability, group), group)


def _rows(frame: pd.DataFrame, group: Group) -> pd.DataFrame:
    return frame[(frame["dataset"] == group.dataset) & (frame["protocol"] == group.protocol.id)]


def _print_ranks(ranks: pd.DataFrame, stability: pd.DataFrame, group: Group) -> None:
    """Print the places by both orders and their stability, or why there is no ranking."""
    import pandas as pd

    for explanation in sorted({text for text in ranks["explanation"] if text}):
        print_note(explanation)
    for row in stability.to_dict("records"):
        names = [name for name in ("tau", "tau_low", "tau_between") if not pd.isna(row[name])]
        tau = ", ".join(f"{name} {row[name]:.2f}" for name in names)
        agreement = f"Kendall's tau-b: {tau}" if tau else "all models tie"
        print_note(f"{row['order']}: {row['subjects']} subjects, {row['tasks']} tasks; {agreement}")
        places = ranks[ranks["order"] == row["order"]].sort_values(["place", "model"])
        rows = [
            (
                place["place"],
                place["model"],
                place["mean_rank"],
                (place["place_low"], place["place_high"]),
                place["first"],
            )
            for place in places.to_dict("records")
        ]
        common = benchmark_of(group) | {"order": row["order"]}
        print_table(Table(columns=_COLUMNS, rows=rows, common=common))


def _print_subgroups(ranks: pd.DataFrame, stability: pd.DataFrame, group: Group) -> None:
    """Print the places within each subgroup by both orders, with its number of subjects."""
    for order, block in ranks[ranks["place"].notna()].groupby("order", sort=False):
        of_order = stability[stability["order"] == order]
        counts = of_order.set_index(["by", "subgroup"])["subjects"].to_dict()
        rows = []
        for row in block.sort_values(["by", "subgroup", "place", "model"]).to_dict("records"):
            labels = (row["by"], row["subgroup"])
            interval = (row["place_low"], row["place_high"])
            figures = (row["place"], row["model"], row["mean_rank"], interval, row["first"])
            rows.append((*labels, counts[labels], *figures))
        common = benchmark_of(group) | {"order": str(order)}
        title = f"ranking within subgroups, {order}"
        print_table(Table(title=title, columns=_SUBGROUP_COLUMNS, rows=rows, common=common))
    remarks = {
        f"{row['by']} {row['subgroup']}: {row['explanation']}"
        for row in ranks.to_dict("records")
        if row["explanation"]
    }
    for remark in sorted(remarks):
        print_note(remark)


def parse_weight(text: str) -> tuple[tuple[str, str], float]:
    """Parse a value of ``--weight`` such as metric:dice=2. Raises click.UsageError."""
    label, _, number = text.rpartition("=")
    kind, colon, name = label.partition(":")
    try:
        if not colon:
            raise ValueError
        return (kind, name), float(number)
    except ValueError:
        raise click.UsageError(
            f"--weight {text}: write KIND:NAME=NUMBER, as in metric:dice=2"
        ) from None
