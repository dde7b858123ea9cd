"""``umd export``: export runs, by default with pseudonyms."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import output_folder_option

FORMATS = ["parquet", "csv", "bids-derivatives", "dicom-seg"]


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
    help="Tables (parquet, csv), masks with scores (bids-derivatives), or masks on the DICOM "
    "series that the images were imported from (dicom-seg).",
)
@output_folder_option
@click.option(
    "--keep-ids",
    is_flag=True,
    help="Keep the ids of subjects, details of failures and notes of models.",
)
def export(names: tuple[str, ...], form: str, output: Path, keep_ids: bool) -> None:
    """Export RUN... (names or folders); by default, numbers replace the ids of subjects."""
    from evaluator.export import export_run

    paths = export_run(names, form, output, keep_ids=keep_ids)
    click.echo(
        f"{len(paths)} files in {output}"
        + ("" if keep_ids else "; numbers replace the ids of subjects")
    )
