"""``umd export``: a run for others."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="Example: umd export region-growing.phantom.paper.1a2b3c4d --format bids-derivatives -o derivatives/umd"
)
@click.argument("name", metavar="RUN")
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv", "bids-derivatives"]),
    default="parquet",
    show_default=True,
    help="Tables, or masks with scores.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to be made."
)
@click.option(
    "--keep-ids",
    is_flag=True,
    help="Call subjects by their ids, and keep failures' details and models' notes.",
)
def export(name: str, form: str, output: Path, keep_ids: bool) -> None:
    """Export RUN (its name or folder); subjects get numbers in place of their ids."""
    from evaluator.export import export_run

    paths = export_run(name, form, output, keep_ids=keep_ids)
    click.echo(f"{len(paths)} files in {output}" + ("" if keep_ids else "; subjects are numbered"))
