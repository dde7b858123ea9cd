"""``umd show``: the score table of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from evaluator.store import RunStore


@click.command(epilog="Example: umd show region-growing.phantom.paper.1a2b3c4d --metric dice")
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--metric", "metrics", multiple=True, help="Only these metrics (default: all that the run has).")
@click.option("--round", "number", type=int, help="This round of corrections (default: the last).")
@click.option("--rounds", is_flag=True, help="Figures over the rounds of corrections instead.")
@click.option("--json", "as_json", is_flag=True, help="One object for each model, target and modality.")
def show(name: str | None, metrics: tuple[str, ...], number: int | None, rounds: bool, as_json: bool) -> None:
    """Show the score table of RUN (its name or folder; the newest, if left out)."""
    from evaluator.store import newest_run, open_run

    run = open_run(name) if name else newest_run()
    if rounds:
        print_rounds(run, as_json=as_json)
    elif as_json:
        from evaluator.summary import summarise

        for entry in summarise(run, metrics=metrics, round_number=number):
            click.echo(json.dumps(entry, allow_nan=False))
    else:
        print_table(run, metrics=metrics, number=number)


def print_table(run: RunStore, *, metrics: tuple[str, ...] = (), number: int | None = None) -> None:
    """Print organ by modality, with n, failures, mean, median and quartiles of every metric."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from evaluator.equality import tell_equality
    from evaluator.summary import header, summarise

    entries = summarise(run, metrics=metrics, round_number=number)
    console = Console(highlight=False, soft_wrap=True)
    for line in (*header(run), tell_equality(run)):
        console.print(line, markup=False)
    if not entries:
        console.print("no scores yet")
        return
    first, *others = entries[0]["metrics"]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "modality"):
        table.add_column(title, no_wrap=True)
    columns = ("n", "failed", "excluded", f"{first} mean", "median", "IQR", *(f"{name} median" for name in others))
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for entry in entries:
        counts = (str(entry[key]) for key in ("n", "failed", "excluded"))
        spread = "-" if entry["q1"] is None else f"{entry['q1']:.3f} to {entry['q3']:.3f}"
        rest = (_figure(entry["metrics"][name]["median"]) for name in others)
        table.add_row(
            entry["target"], entry["modality"], *counts, _figure(entry["mean"]), _figure(entry["median"]), spread, *rest
        )
    wide = Console(highlight=False, width=None if console.is_terminal else 200)
    wide.print(table)
    for line in footer(run, entries):
        console.print(line, markup=False)


def print_rounds(run: RunStore, *, as_json: bool) -> None:
    """Print score per round, area, clicks to a wanted Dice, first gain, instability and seconds."""
    from evaluator.equality import tell_equality
    from evaluator.interaction import summarise_rounds
    from evaluator.summary import header

    entries = summarise_rounds(run)
    if as_json:
        for entry in entries:
            click.echo(json.dumps(entry, allow_nan=False))
        return
    for line in (*header(run), tell_equality(run)):
        click.echo(line)
    for entry in entries:
        curve = " ".join(f"{value:.3f}" for value in entry["curve"])
        noc = ", ".join(f"{wanted}: {one['clicks']:.1f} ({one['never']} never)" for wanted, one in entry["noc"].items())
        click.echo(f"{entry['target']} {entry['modality']} (n {entry['n']}, {entry['failed_rounds']} failed rounds)")
        click.echo(f"  {entry['metric']} by round  {curve}   area {entry['area']:.3f}")
        click.echo(f"  clicks to Dice {noc}")
        gain, loss, seconds = (_figure(entry[key]) for key in ("first_gain", "instability", "seconds"))
        click.echo(f"  first correction {gain}, lost by a correction {loss}, {seconds} s a request")


def footer(run: RunStore, entries: list[dict[str, Any]]) -> list[str]:
    """What the reader must know of the figures, how predictions failed, and why scans are missing."""
    from collections import Counter

    from evaluator.summary import not_run

    ended: Counter[str] = Counter()
    for entry in entries:
        ended.update(entry["statuses"])
    told = ", ".join(f"{count} {status}" for status, count in sorted(ended.items()))
    rule = "A failed one counts as the protocol says; a distance without a number as its cap. Distances in mm."
    return [f"Predictions: {told}. {rule}", *(f"not run: {line}" for line in not_run(run))]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
