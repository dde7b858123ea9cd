"""``umd show``: the score table of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.options import json_option, split_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_note, table_options
from evaluator.cli.tables import print_table as print_cells
from evaluator.runs.read_once import read_once

if TYPE_CHECKING:
    from evaluator.challenges.cvpr25 import OverTime
    from evaluator.runs.store import RunStore


_LABELS = (Column(name="target", text=True), Column(name="modality", text=True))
_SPLIT = (
    Column(name="by", text=True, shared=True),
    Column(name="subgroup", text=True),
)
_COUNTS = ("subjects", "predictions", "failed", "unsupported", "excluded")
_ROUND_COUNTS = ("subjects", "predictions", "failed_rounds")
#: how to read the statistics
_NOTES = (
    "Statistics are over subjects: a subject's sessions and seeds are averaged first.",
    "Failed predictions are counted as the protocol defines.",
    "Undefined distances are replaced by the protocol's distance cap.",
    (
        "Floor: mean score of an image-blind answer to the model's prompt. Ceiling: what the grid "
        "allows."
    ),
    "Clicks, boxes, scribble: effort of the prompt up to this round, means over subjects.",
    "Distances are in mm. |metric| is the magnitude of a signed metric.",
)

SUBGROUP_NOTE = (
    "Within subgroups: means of the subgroup's subjects alone. umd compare --by tests differences."
)


@click.command(epilog="Example: umd show region-growing.phantom.paper.1a2b3c4d --metric dice")
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--metric", "metrics", multiple=True, help="Only these metrics (default: all of the run)."
)
@click.option("--round", "number", type=int, help="Round of corrections (default: the last).")
@split_option
@click.option("--rounds", is_flag=True, help="Show statistics over the rounds of corrections.")
@click.option(
    "--over-time",
    type=click.Choice(["warn", "zero"]),
    default="warn",
    show_default=True,
    help="With --rounds: images above the CVPR 2025 challenge's time limit are named, or score 0.",
)
@table_options
@json_option("model, target and modality")
def show(
    name: str | None,
    metrics: tuple[str, ...],
    number: int | None,
    columns: tuple[str, ...],
    rounds: bool,
    over_time: OverTime,
    as_json: bool,
) -> None:
    """Show the score table of RUN (a name or folder; default: the newest run).

    Statistics are over subjects: a subject's sessions and seeds are averaged first.
    """
    from evaluator.runs.names import newest_run, open_run

    if rounds and (metrics or number is not None or columns):
        raise click.UsageError(
            "--rounds shows all rounds and subjects, by Dice; leave out --metric, --round and --by"
        )
    run = open_run(name) if name else newest_run()
    if rounds:
        print_rounds(run, as_json=as_json, over_time=over_time)
    elif as_json:
        from evaluator.analysis.summary import summarise

        for entry in summarise(run, metrics=metrics, round_number=number):
            click.echo(json.dumps(entry, allow_nan=False))
        for entry in _subgroup_entries(run, columns, metrics, number, all_targets=False):
            click.echo(json.dumps(entry, allow_nan=False))
    else:
        with read_once():
            print_table(run, metrics=metrics, number=number, columns=columns)


def print_table(
    run: RunStore,
    *,
    metrics: tuple[str, ...] = (),
    number: int | None = None,
    columns: tuple[str, ...] = (),
) -> None:
    """Print target by modality: counts, and mean, median and quartiles over subjects.

    The same within each subgroup of the columns of the table of subjects.
    """
    from evaluator.analysis.run_header import header
    from evaluator.analysis.summary import summarise
    from evaluator.runs.reproducibility import describe_reproducibility

    entries = summarise(run, metrics=metrics, round_number=number, all_targets=True)
    split = _subgroup_entries(run, columns, metrics, number, all_targets=True)
    for line in (*header(run), describe_reproducibility(run)):
        print_note(line)
    if not entries:
        print_note("no scores yet")
        for line in footer(run):
            print_note(line)
        return
    if all(entry["unsupported"] == entry["predictions"] > 0 for entry in entries):
        print_note("no scores: the model supports none of the predictions")
    else:
        print_cells(_score_table(entries))
        if split:
            print_cells(_score_table(split))
            print_note(SUBGROUP_NOTE)
    for line in footer(run, number):
        print_note(line)


def _subgroup_entries(
    run: RunStore,
    columns: tuple[str, ...],
    metrics: tuple[str, ...],
    number: int | None,
    *,
    all_targets: bool,
) -> list[dict[str, Any]]:
    from evaluator.analysis.summary import summarise_subgroups

    if not columns:
        return []
    return summarise_subgroups(
        run, columns, metrics=metrics, round_number=number, all_targets=all_targets
    )


def _score_table(entries: list[dict[str, Any]]) -> Table:
    """Target by modality: counts, and statistics over subjects of each metric."""
    from evaluator.metrics.metric_table import METRICS

    titles = {name: f"|{name}|" if METRICS[name].signed else name for name in entries[0]["metrics"]}
    first, *others = titles
    medians = [
        Column(
            name=f"{name}_median_over_subjects",
            heading=f"{titles[name]} median\nover subjects",
            level=3 + number,
        )
        for number, name in enumerate(others)
    ]
    unsupported = any(entry["unsupported"] for entry in entries)
    labels = (*(_SPLIT if "by" in entries[0] else ()), *_LABELS)
    columns = (
        *labels,
        Column(name="subjects"),
        Column(name="predictions", level=2),
        Column(name="failed"),
        Column(name="unsupported", level=0 if unsupported else 98),
        Column(name="excluded", level=99),
        Column(name=f"{first}_mean_over_subjects", heading=f"{titles[first]} mean\nover subjects"),
        Column(name=f"{first}_floor_mean_over_subjects", heading="floor", level=1),
        Column(name=f"{first}_ceiling_mean_over_subjects", heading="ceiling", level=2),
        Column(name=f"{first}_median_over_subjects", heading="median\nover subjects", level=1),
        Column(name=f"{first}_iqr_over_subjects", heading="IQR\nover subjects", level=1),
        Column(name="clicks", heading="clicks", level=2, digits=1),
        Column(name="boxes", heading="boxes", level=2, digits=1),
        Column(name="scribble_mm", heading="scribble,\nmm", level=3, digits=0),
        *medians,
    )
    rows = []
    for entry in entries:
        by_metric = entry["metrics"]
        row = (
            *(entry[column.name] for column in labels),
            *(entry[key] for key in _COUNTS),
            entry["mean_over_subjects"],
            entry["floor_mean_over_subjects"],
            entry["ceiling_mean_over_subjects"],
            entry["median_over_subjects"],
            (entry["q1_over_subjects"], entry["q3_over_subjects"]),
            *(entry["effort"][name] for name in ("clicks", "boxes", "scribble_mm")),
            *(by_metric[name]["median_over_subjects"] for name in others),
        )
        rows.append(row)
    return Table(columns=columns, rows=rows)


def print_rounds(run: RunStore, *, as_json: bool, over_time: OverTime = "warn") -> None:
    """Print statistics over rounds by target and modality, and the totals of a challenge."""
    from evaluator.analysis.interaction import summarise_rounds
    from evaluator.analysis.run_header import header
    from evaluator.challenges.cvpr25 import SECONDS_PER_TARGET, challenge_totals
    from evaluator.runs.reproducibility import describe_reproducibility

    entries, totals = summarise_rounds(run), challenge_totals(run, over_time=over_time)
    if as_json:
        for entry in (*entries, *totals):
            click.echo(json.dumps(entry, allow_nan=False))
        return
    for line in (*header(run), describe_reproducibility(run)):
        print_note(line)
    if not entries:
        print_note(
            f"no rounds with scores; umd show {run.name} shows the statuses of the predictions"
        )
        return
    print_cells(_rounds_table(entries))
    print_note(
        "Means are over subjects. A failed round counts as 0. A target that ended early keeps its "
        "last score."
    )
    print_note(
        "A prediction that never reaches a Dice counts as all clicks of the protocol. "
        "lost: mean score lost by a correction. s: median seconds of a request."
    )
    for total in totals:
        areas = f"DSC_AUC {total['dsc_auc']:.3f}, NSD_AUC {total['nsd_auc']:.3f} (at most 4)"
        last = f"DSC_Final {total['dsc_final']:.3f}, NSD_Final {total['nsd_final']:.3f}"
        print_note(
            f"CVPR 2025, {total['modality']}, means over {total['n']} images: {areas}, {last}, "
            f"{total['seconds']:.1f} s an image"
        )
        if total["over_time"]:
            print_note(
                f"{total['over_time']} of {total['n']} images took more than "
                f"{SECONDS_PER_TARGET:g} s for each organ, the challenge's limit; "
                "--over-time zero scores them 0"
            )


def _rounds_table(entries: list[dict[str, Any]]) -> Table:
    levels = list(entries[0]["noc"])
    clicks: list[Column] = []
    for level in levels:
        clicks += [
            Column(name=f"clicks_to_{level}", level=2, digits=1),
            Column(name=f"never_{level}", heading=f"never {level}", level=2),
        ]
    columns = (
        *_LABELS,
        Column(name="subjects", level=1),
        Column(name="predictions", level=3),
        Column(name="failed_rounds", level=1),
        Column(name="curve", heading="mean Dice\nby round", wraps=True),
        Column(name="area"),
        *clicks,
        Column(name="first_gain", level=3),
        Column(name="lost", level=3),
        Column(name="seconds", heading="s", level=3),
    )
    rows = []
    for entry in entries:
        needed: list[Any] = []
        for level in levels:
            reached = entry["noc"][level]
            needed += [reached["clicks"], reached["never"]]
        row = (
            *(entry[key] for key in ("target", "modality", *_ROUND_COUNTS)),
            " ".join(f"{value:.3f}" for value in entry["curve"]),
            entry["area"],
            *needed,
            *(entry[key] for key in ("first_gain", "instability", "seconds")),
        )
        rows.append(row)
    return Table(columns=columns, rows=rows)


def footer(run: RunStore, number: int | None = None) -> list[str]:
    """Say how the predictions ended, explain the statistics, list scans that were not run."""
    from evaluator.analysis.displacements import describe_displacements
    from evaluator.analysis.outcomes import describe_outcomes
    from evaluator.analysis.run_header import describe_floors, describe_images, not_run

    displacement = describe_displacements(run)
    images = describe_images(run)
    floors = describe_floors(run)
    return [
        *describe_outcomes(run, number),
        *_NOTES,
        *([floors] if floors else []),
        *([displacement] if displacement else []),
        *([images] if images else []),
        *(f"not run: {line}" for line in not_run(run)),
    ]
