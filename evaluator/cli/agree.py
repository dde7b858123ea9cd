"""``umd agree``: agreement between the models of several runs, without a reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evaluator.cli.options import FiniteRange, json_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_note, print_table, table_options

if TYPE_CHECKING:
    import pandas as pd

_SUMMARY = (
    Column(name="modality", text=True),
    Column(name="target", text=True),
    Column(name="model", text=True, wraps=True),
    Column(name="other", text=True, wraps=True),
    Column(name="subjects"),
    Column(name="dice", heading="Dice agreement,\nmean over subjects"),
    Column(name="dice_median", heading="median", level=1),
    Column(name="dice_lowest", heading="lowest", level=1),
    Column(name="nsd", heading="NSD agreement,\nmean over subjects", level=1),
    Column(name="without_dice", heading="scans without\na Dice", level=2),
)
_CONSENSUS = (
    Column(name="modality", text=True),
    Column(name="target", text=True),
    Column(name="model", text=True, wraps=True),
    Column(name="subjects"),
    Column(name="dice", heading="Dice with the consensus,\nmean over subjects"),
)
_OUTLIERS = (
    Column(name="case", text=True),
    Column(name="modality", text=True),
    Column(name="target", text=True),
    Column(name="seed", level=2),
    Column(name="model", text=True, wraps=True),
    Column(name="with_others", heading="Dice\nwith others"),
    Column(name="among_others", heading="Dice\namong others"),
)


@click.command(
    epilog="Example: umd agree region-growing.phantom.paper.1a2b3c4d "
    "random-walker.phantom.paper.5e6f7a8b"
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--consensus",
    type=click.Choice(["majority", "staple"]),
    default="majority",
    show_default=True,
    help="Rule of the consensus of three models or more.",
)
@click.option(
    "--outlier",
    type=FiniteRange(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="A model is an outlier if its mean Dice with the others is lower by this than theirs.",
)
@table_options
@json_option("row of each table")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Write each table, with every column, as a CSV file into this folder.",
)
def agree(
    runs: tuple[str, ...],
    consensus: Literal["majority", "staple"],
    outlier: float,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Compare the masks of RUN... (two or more, on the same data) with each other.

    No reference is read. Agreement is not accuracy: models that make the same error agree
    (docs/agreement.md).
    """
    from evaluator.analysis.model_agreement import agree as agree_on_masks
    from evaluator.files import csv_bytes, write_results

    agreement = agree_on_masks(runs, consensus=consensus, outlier=outlier)
    tables = {
        "summary": agreement.summary,
        "pairs": agreement.pairs,
        "consensus": agreement.consensus,
        "outliers": agreement.outliers,
    }
    if folder:
        files = {folder / f"agreement-{name}.csv": csv_bytes(tables[name]) for name in tables}
        write_results(files)
        for path in files:
            click.echo(path, err=as_json)
    if as_json:
        remarks = {"prompts": agreement.prompts, "warnings": list(agreement.warnings)}
        click.echo(json.dumps({"table": "agreement"} | remarks))
        for name, frame in tables.items():
            for row in _records(frame):
                click.echo(json.dumps({"table": f"agreement-{name}"} | row, allow_nan=False))
        return
    if folder:
        return
    print_note("Agreement between models, not accuracy: no reference is used.")
    for text in (agreement.prompts, *agreement.warnings):
        print_note(text)
    common = {"measure": "agreement"}
    _print(agreement.summary, _SUMMARY, "agreement of two models", common)
    by_consensus = _consensus_summary(agreement.consensus)
    _print(by_consensus, _CONSENSUS, f"agreement with the consensus ({consensus})", common)
    _print(agreement.outliers, _OUTLIERS, "outliers of agreement", common)


def _print(
    frame: pd.DataFrame, columns: tuple[Column, ...], title: str, common: dict[str, str]
) -> None:
    if frame.empty:
        return
    rows = [[row[column.name] for column in columns] for row in _records(frame)]
    print_table(Table(title=title, columns=columns, rows=rows, common=common))


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a table; None where there is no value."""
    values = frame.astype("object").where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in values.to_dict("records")]


def _consensus_summary(consensus: pd.DataFrame) -> pd.DataFrame:
    """Means over subjects of the Dice with the consensus."""
    valid = consensus.dropna(subset=["dice"])
    by_target = ["modality", "target", "model"]
    dice = valid["dice"].astype("float64")
    keys = [valid[name] for name in (*by_target, "subject")]
    by_subject = dice.groupby(keys).mean().reset_index()
    grouped = by_subject.groupby(by_target)["dice"]
    return grouped.agg(subjects="count", dice="mean").reset_index()
