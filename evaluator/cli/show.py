"""``umd show``: the score table of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


@click.command(epilog="Example: umd show region-growing.phantom.paper.1a2b3c4d --metric dice")
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--metric", "metrics", multiple=True, help="Only these metrics (default: all that the run has)."
)
@click.option("--round", "number", type=int, help="This round of corrections (default: the last).")
@click.option("--rounds", is_flag=True, help="Figures over the rounds of corrections instead.")
@click.option(
    "--json", "as_json", is_flag=True, help="One object for each model, target and modality."
)
def show(
    name: str | None, metrics: tuple[str, ...], number: int | None, rounds: bool, as_json: bool
) -> None:
    """Show the score table of RUN (its name or folder; the newest, if left out)."""
    from evaluator.runs.store import newest_run, open_run

    if rounds and (metrics or number is not None):
        raise click.UsageError("--rounds shows all rounds, by Dice; leave out --metric and --round")
    run = open_run(name) if name else newest_run()
    if rounds:
        print_rounds(run, as_json=as_json)
    elif as_json:
        from evaluator.analysis.summary import summarise

        for entry in summarise(run, metrics=metrics, round_number=number):
            click.echo(json.dumps(entry, allow_nan=False))
    else:
        print_table(run, metrics=metrics, number=number)


def print_table(run: RunStore, *, metrics: tuple[str, ...] = (), number: int | None = None) -> None:
    """Print organ by modality, with n, failures, mean, median and quartiles of every metric."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from evaluator.analysis.summary import header, summarise
    from evaluator.runs.reproducibility import describe_reproducibility

    entries = summarise(run, metrics=metrics, round_number=number)
    console = Console(highlight=False, soft_wrap=True)
    for line in (*header(run), describe_reproducibility(run)):
        console.print(line, markup=False)
    if not entries:
        console.print("no scores yet")
        return
    first, *others = entries[0]["metrics"]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "modality"):
        table.add_column(title, no_wrap=True)
    columns = (
        "n",
        "failed",
        "excluded",
        f"{first} mean",
        "median",
        "IQR",
        *(f"{name} median" for name in others),
    )
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for entry in entries:
        counts = (str(entry[key]) for key in ("n", "failed", "excluded"))
        spread = "-" if entry["q1"] is None else f"{entry['q1']:.3f} to {entry['q3']:.3f}"
        rest = (_figure(entry["metrics"][name]["median"]) for name in others)
        table.add_row(
            entry["target"],
            entry["modality"],
            *counts,
            _figure(entry["mean"]),
            _figure(entry["median"]),
            spread,
            *rest,
        )
    wide = Console(highlight=False, width=None if console.is_terminal else 200)
    wide.print(table)
    for line in footer(run, entries):
        console.print(line, markup=False)


def print_rounds(run: RunStore, *, as_json: bool) -> None:
    """Print score per round, area, clicks to a wanted Dice, first gain, instability, seconds, and a challenge's totals."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from evaluator.analysis.interaction import summarise_rounds
    from evaluator.analysis.summary import header
    from evaluator.challenges.cvpr25 import challenge_totals
    from evaluator.runs.reproducibility import describe_reproducibility

    entries, totals = summarise_rounds(run), challenge_totals(run)
    if as_json:
        for entry in (*entries, *totals):
            click.echo(json.dumps(entry, allow_nan=False))
        return
    for line in (*header(run), describe_reproducibility(run)):
        click.echo(line)
    if not entries:
        click.echo(f"no rounds with scores; umd show {run.name} tells how the predictions ended")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "modality"):
        table.add_column(title, no_wrap=True)
    wanted = entries[0]["noc"]
    figures = ("area", *(f"clicks to {dice}" for dice in wanted), "first gain", "lost", "s")
    for title in ("n", "failed", "Dice by round", *figures):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in entries:
        curve = " ".join(f"{value:.3f}" for value in entry["curve"])
        clicks = (f"{one['clicks']:.1f} ({one['never']} never)" for one in entry["noc"].values())
        rest = (_figure(entry[key]) for key in ("first_gain", "instability", "seconds"))
        counts = (str(entry["n"]), str(entry["failed_rounds"]))
        table.add_row(
            entry["target"],
            entry["modality"],
            *counts,
            curve,
            _figure(entry["area"]),
            *clicks,
            *rest,
        )
    console = Console(highlight=False)
    Console(highlight=False, width=None if console.is_terminal else 220).print(table)
    click.echo(
        "A failed round counts as 0; a target that ended early keeps its score; one that never reaches a Dice"
    )
    click.echo(
        "counts as all clicks of the protocol. lost: mean score lost by a correction. s: seconds an interaction."
    )
    for total in totals:
        areas = f"DSC_AUC {total['dsc_auc']:.3f}, NSD_AUC {total['nsd_auc']:.3f} (at most 4)"
        last = f"DSC_Final {total['dsc_final']:.3f}, NSD_Final {total['nsd_final']:.3f}"
        click.echo(
            f"CVPR 2025, {total['modality']}, {total['n']} images: {areas}, {last}, {total['seconds']:.1f} s an image"
        )


def footer(run: RunStore, entries: list[dict[str, Any]]) -> list[str]:
    """What the reader must know of the figures, how predictions failed, and why scans are missing."""
    from collections import Counter

    from evaluator.analysis.interaction import tell_displacements
    from evaluator.analysis.summary import not_run

    ended: Counter[str] = Counter()
    for entry in entries:
        ended.update(entry["statuses"])
    told = ", ".join(f"{count} {status}" for status, count in sorted(ended.items()))
    rule = "A failed one counts as the protocol says; a distance without a number as its cap. Distances in mm."
    moved = tell_displacements(run)
    return [
        f"Predictions: {told}. {rule}",
        *([moved] if moved else []),
        *(f"not run: {line}" for line in not_run(run)),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
