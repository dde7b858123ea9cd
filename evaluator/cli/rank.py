"""``umd rank``: which model is best, by both orders of aggregation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evaluator.cli.tables import print_heading, print_table

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.runs.results import Group

#: below this many, resampling the subjects shows the same few again and again
FEW_SUBJECTS = 6


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
    help="KIND is target, modality or metric.",
)
@click.option("--round", "number", type=int, help="This round of corrections (default: the last).")
@click.option("--json", "as_json", is_flag=True, help="One object for each row of each frame.")
def rank(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    weights: tuple[str, ...],
    number: int | None,
    as_json: bool,
) -> None:
    """Rank the models of RUN... over all targets, modalities and metrics, with how sure the places are."""
    from evaluator.analysis.comparison.output import plain
    from evaluator.analysis.ranking import FRAMES
    from evaluator.analysis.ranking import rank as rank_results
    from evaluator.runs.results import load

    results = load(runs)
    made = rank_results(
        results, metrics=metrics, weights=dict(map(parse_weight, weights)), round_number=number
    )
    if as_json:
        for name in FRAMES:
            for row in getattr(made, name).to_dict("records"):
                cells = {str(key): plain(value) for key, value in row.items()}
                click.echo(json.dumps({"frame": name} | cells, allow_nan=False))
        return
    for group in results.groups():
        print_heading(group)
        _print_ranks(*(_of(frame, group) for frame in (made.ranks, made.stability)))


def _of(frame: pd.DataFrame, group: Group) -> pd.DataFrame:
    return frame[(frame["dataset"] == group.dataset) & (frame["protocol"] == group.protocol.id)]


def _print_ranks(ranks: pd.DataFrame, stability: pd.DataFrame) -> None:
    """Print both orders' places and how sure they are, or why there are none."""
    import pandas as pd

    for explanation in sorted({text for text in ranks["explanation"] if text}):
        click.echo(explanation)
    for row in stability.to_dict("records"):
        own = ranks[ranks["order"] == row["order"]].sort_values(["place", "model"])
        told = [
            f"{name} {row[name]:.2f}"
            for name in ("tau", "tau_low", "tau_between")
            if not pd.isna(row[name])
        ]
        click.echo(
            f"{row['order']}: {row['subjects']} subjects, {row['tasks']} tasks; "
            + ("Kendall's tau-b: " + ", ".join(told) if told else "all models tie")
        )
        rows = [
            (
                each["place"],
                each["model"],
                each["mean_rank"],
                f"{each['place_low']} to {each['place_high']}",
                each["first"],
            )
            for each in own.to_dict("records")
        ]
        print_table(None, ("place", "model", "mean_rank", "95 % of resamples", "first in"), rows)
        if row["subjects"] < FEW_SUBJECTS:
            click.echo(f"{row['subjects']} subjects are too few to say how sure these places are.")


def parse_weight(text: str) -> tuple[tuple[str, str], float]:
    """What ``--weight`` says: metric:dice=2."""
    what, _, number = text.rpartition("=")
    kind, colon, name = what.partition(":")
    try:
        if not colon:
            raise ValueError
        return (kind, name), float(number)
    except ValueError:
        raise click.UsageError(
            f"--weight {text}: write KIND:NAME=NUMBER, as in metric:dice=2"
        ) from None
