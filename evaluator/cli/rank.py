"""``umd rank``: which model is best, by both orders of aggregation."""

from __future__ import annotations

import json

import click


@click.command(epilog="Example: umd rank RUN1 RUN2 RUN3 --weight metric:dice=2 --weight target:brain=0.5")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--metric", "metrics", multiple=True, help="Only these metrics (default: the protocol's).")
@click.option("--weight", "weights", multiple=True, metavar="KIND:NAME=X", help="KIND is target, modality or metric.")
@click.option("--round", "number", type=int, help="This round of corrections (default: the last).")
@click.option("--json", "as_json", is_flag=True, help="One object for each row of each frame.")
def rank(
    runs: tuple[str, ...], metrics: tuple[str, ...], weights: tuple[str, ...], number: int | None, as_json: bool
) -> None:
    """Rank the models of RUN... over all targets, modalities and metrics, with how sure the places are."""
    import pandas as pd

    from evaluator.compare.writing import plain
    from evaluator.rank import FRAMES
    from evaluator.rank import rank as rank_results
    from evaluator.results import load

    made = rank_results(load(runs), metrics=metrics, weights=dict(map(parse_weight, weights)), round_number=number)
    if as_json:
        for name in FRAMES:
            for row in getattr(made, name).to_dict("records"):
                cells = {str(key): plain(value) for key, value in row.items()}
                click.echo(json.dumps({"frame": name} | cells, allow_nan=False))
        return
    for row in made.ranks.to_dict("records"):
        where = f"{row['dataset']} {row['protocol']}"
        if pd.isna(row["place"]):
            click.echo(f"{where}  {row['model']}: {row['explanation']}")
            continue
        places = f"{row['place_low']} to {row['place_high']}"
        click.echo(
            f"{where}  {row['order']:20} {row['place']:3}  {row['model']:24} mean rank {row['mean_rank']:.2f}, "
            f"95 % of resamples {places}, first in {row['first']:.0%}"
            + (f"; {row['explanation']}" if row["explanation"] else "")
        )
    for row in made.stability.to_dict("records"):
        told = [f"{name} {row[name]:.2f}" for name in ("tau", "tau_low", "tau_between") if not pd.isna(row[name])]
        click.echo(
            f"{row['dataset']} {row['protocol']}  {row['order']}: {row['subjects']} subjects, {row['tasks']} tasks; "
            + ("Kendall's tau-b: " + ", ".join(told) if told else "all models tie")
        )


def parse_weight(text: str) -> tuple[tuple[str, str], float]:
    """What ``--weight`` says: metric:dice=2."""
    what, _, number = text.rpartition("=")
    kind, colon, name = what.partition(":")
    try:
        if not colon:
            raise ValueError
        return (kind, name), float(number)
    except ValueError:
        raise click.UsageError(f"--weight {text}: write KIND:NAME=NUMBER, as in metric:dice=2") from None
