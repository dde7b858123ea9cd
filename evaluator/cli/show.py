"""``umd show``: the score table of a run."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from evaluator.runs.store import RunStore


#: how to read the statistics
_NOTES = (
    "Statistics are over subjects: a subject's sessions and seeds are averaged first.",
    "Failed predictions are counted as the protocol defines.",
    "Undefined distances are replaced by the protocol's distance cap.",
    "Floor: mean score of an image-blind answer to the same prompt. Ceiling: what the grid allows.",
    "Distances are in mm. |metric| is the magnitude of a signed metric.",
)


@click.command(epilog="Example: umd show region-growing.phantom.paper.1a2b3c4d --metric dice")
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--metric", "metrics", multiple=True, help="Only these metrics (default: all of the run)."
)
@click.option("--round", "number", type=int, help="Round of corrections (default: the last).")
@click.option("--rounds", is_flag=True, help="Show statistics over the rounds of corrections.")
@click.option(
    "--json", "as_json", is_flag=True, help="One object for each model, target and modality."
)
def show(
    name: str | None, metrics: tuple[str, ...], number: int | None, rounds: bool, as_json: bool
) -> None:
    """Show the score table of RUN (a name or folder; default: the newest run).

    Statistics are over subjects: a subject's sessions and seeds are averaged first.
    """
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
    """Print target by modality: counts, and mean, median and quartiles over subjects."""
    from rich.console import Console

    from evaluator.analysis.summary import header, summarise
    from evaluator.metrics import METRICS
    from evaluator.runs.reproducibility import describe_reproducibility

    entries = summarise(run, metrics=metrics, round_number=number)
    console = Console(highlight=False, soft_wrap=True)
    for line in (*header(run), describe_reproducibility(run)):
        console.print(line, markup=False)
    if not entries:
        console.print("no scores yet")
        return
    titles = {name: f"|{name}|" if METRICS[name].signed else name for name in entries[0]["metrics"]}
    first, *others = titles
    columns = [
        "subjects",
        "predictions",
        "failed",
        "excluded",
        f"{titles[first]} mean\nover subjects",
        "floor",
        "ceiling",
        "median\nover subjects",
        "IQR\nover subjects",
        *(f"{titles[name]} median\nover subjects" for name in others),
    ]
    table = _make_table(columns)
    for entry in entries:
        counts = [entry[key] for key in ("subjects", "predictions", "failed", "excluded")]
        q1, q3 = entry["q1_over_subjects"], entry["q3_over_subjects"]
        by_metric = entry["metrics"]
        table.add_row(
            entry["target"],
            entry["modality"],
            *map(str, counts),
            _cell(entry["mean_over_subjects"]),
            _cell(entry["floor_mean_over_subjects"]),
            _cell(entry["ceiling_mean_over_subjects"]),
            _cell(entry["median_over_subjects"]),
            "-" if q1 is None else f"{q1:.3f} to {q3:.3f}",
            *(_cell(by_metric[name]["median_over_subjects"]) for name in others),
        )
    _print_wide(table, 200)
    for line in footer(run, entries):
        console.print(line, markup=False)


def print_rounds(run: RunStore, *, as_json: bool) -> None:
    """Print statistics over rounds by target and modality, and the totals of a challenge."""
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
        click.echo(
            f"no rounds with scores; umd show {run.name} shows the statuses of the predictions"
        )
        return
    _print_wide(_rounds_table(entries), 220)
    click.echo(
        "Means are over subjects. A failed round counts as 0. A target that ended early keeps its "
        "last score."
    )
    click.echo(
        "A prediction that never reaches a Dice counts as all clicks of the protocol. "
        "lost: mean score lost by a correction. s: median seconds of a request."
    )
    for total in totals:
        areas = f"DSC_AUC {total['dsc_auc']:.3f}, NSD_AUC {total['nsd_auc']:.3f} (at most 4)"
        last = f"DSC_Final {total['dsc_final']:.3f}, NSD_Final {total['nsd_final']:.3f}"
        click.echo(
            f"CVPR 2025, {total['modality']}, means over {total['n']} images: {areas}, {last}, "
            f"{total['seconds']:.1f} s an image"
        )


def _rounds_table(entries: list[dict[str, Any]]) -> Table:
    levels = list(entries[0]["noc"])
    columns = [
        "subjects",
        "predictions",
        "failed rounds",
        "mean Dice\nby round",
        "area",
        *(f"clicks to {level}" for level in levels),
        "first gain",
        "lost",
        "s",
    ]
    table = _make_table(columns)
    for entry in entries:
        clicks = [entry["noc"][level] for level in levels]
        counts = [entry[key] for key in ("subjects", "predictions", "failed_rounds")]
        table.add_row(
            entry["target"],
            entry["modality"],
            *map(str, counts),
            " ".join(f"{value:.3f}" for value in entry["curve"]),
            _cell(entry["area"]),
            *(f"{needed['clicks']:.1f} ({needed['never']} never)" for needed in clicks),
            *(_cell(entry[key]) for key in ("first_gain", "instability", "seconds")),
        )
    return table


def footer(run: RunStore, entries: list[dict[str, Any]]) -> list[str]:
    """Count the predictions by status, explain the statistics, and list scans that were not run."""
    from evaluator.analysis.interaction import describe_displacements
    from evaluator.analysis.summary import not_run

    statuses: Counter[str] = Counter()
    for entry in entries:
        statuses.update(entry["statuses"])
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    displacement = describe_displacements(run)
    return [
        f"Predictions: {counts}.",
        *_NOTES,
        *([displacement] if displacement else []),
        *(f"not run: {line}" for line in not_run(run)),
    ]


def _make_table(columns: list[str]) -> Table:
    """Make a table with target and modality, followed by right-aligned columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "modality"):
        table.add_column(title, no_wrap=True, vertical="bottom")
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _print_wide(table: Table, width: int) -> None:
    """Print a table in the width of the terminal, or in ``width`` characters to a file."""
    from rich.console import Console

    is_terminal = Console().is_terminal
    Console(highlight=False, width=None if is_terminal else width).print(table, markup=False)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
