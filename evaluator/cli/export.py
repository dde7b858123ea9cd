"""``umd export``: export runs, by default with pseudonyms."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import output_folder_option
from evaluator.plain_text import counted

FORMATS = ["parquet", "csv", "bids-derivatives", "grand-challenge", "dicom-seg"]


@click.command(
    epilog="Example: umd export region-growing.phantom.paper.1a2b3c4d "
    "--format bids-derivatives -o derivatives/umd"
)
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="parquet",
    show_default=True,
    help="Tables (parquet, csv), masks with scores (bids-derivatives), what an evaluation "
    "method of Grand Challenge reads (grand-challenge), or masks on the DICOM series that the "
    "images were imported from (dicom-seg).",
)
@output_folder_option
@click.option(
    "--sockets",
    metavar="NAME|FILE",
    help="For grand-challenge: the socket map, a TOML file or one of manifests/sockets (default: "
    "that of the run's model).",
)
@click.option(
    "--keep-ids",
    is_flag=True,
    help="Keep the ids of subjects, details of failures and notes of models.",
)
def export(
    names: tuple[str, ...], form: str, output: Path, sockets: str | None, keep_ids: bool
) -> None:
    """Export RUN... (names or folders); by default, numbers replace the ids of subjects."""
    from evaluator.export import export_run
    from evaluator.zoo.foreign_cards import load_sockets

    chosen = load_sockets(sockets)[1] if sockets else None
    paths = export_run(names, form, output, keep_ids=keep_ids, sockets=chosen)
    click.echo(
        f"{counted(len(paths), 'file')} in {output}"
        + ("" if keep_ids else "; numbers replace the ids of subjects")
    )
