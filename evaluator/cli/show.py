"""``umd show``: the score table of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evaluator.store import RunStore


@click.command(epilog="Example: umd show region-growing.phantom.paper.1a2b3c4d --metric dice")
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--metric", "metrics", multiple=True, help="Only these metrics (default: all that the run has).")
@click.option("--round", "number", type=int, help="This round of corrections (default: the last).")
@click.option("--json", "as_json", is_flag=True, help="One object for each model, target and modality.")
def show(name: str | None, metrics: tuple[str, ...], number: int | None, as_json: bool) -> None:
    """Show the score table of RUN (its name or folder; the newest, if left out)."""
    from evaluator.store import newest_run, open_run

    run = open_run(name) if name else newest_run()
    if as_json:
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

    from evaluator.summary import header, summarise

    console = Console(soft_wrap=True, highlight=False)
    for line in header(run):
        console.print(line, markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "modality"):
        table.add_column(title)
    for title in ("n", "failed", "excluded", "metric", "mean", "median", "IQR"):
        table.add_column(title, justify="left" if title == "metric" else "right")
    before: tuple[str, str] | None = None
    for entry in summarise(run, metrics=metrics, round_number=number):
        this = (entry["target"], entry["modality"])
        lead = ("", "", "", "", "") if this == before else (*this, *(str(entry[key]) for key in ("n", "failed", "excluded")))
        spread = f"{entry['q1']:.3f}-{entry['q3']:.3f}" if entry["q1"] is not None else "-"
        table.add_row(*lead, entry["metric"], _figure(entry["mean"]), _figure(entry["median"]), spread)
        before = this
    console.print(table, soft_wrap=False)
    if table.row_count == 0:
        console.print("no scores yet")
    for line in footer(run, metrics, number):
        console.print(line, markup=False)


def footer(run: RunStore, metrics: tuple[str, ...], number: int | None) -> list[str]:
    """What the reader must know of the figures, and why scans are missing."""
    from evaluator.summary import not_run, statuses

    lines = ["n: predictions with a score; failed ones count as the metric's worst (distances: the protocol's cap)."]
    lines += [f"{status}: {count}" for status, count in statuses(run, metrics, number).items()]
    return lines + [f"not run: {line}" for line in not_run(run)]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
