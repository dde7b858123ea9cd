"""``umd import-predictions``: predictions made elsewhere, scored as a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.options import PATH, data_root_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "import-predictions",
    epilog="Example: umd import-predictions masks -m mymodel -d my.toml "
    '--pattern "{subject}_{modality}.nii.gz"',
)
@click.argument("folder", type=PATH)
@click.option("-m", "--model", required=True, help="Name of the model in tables and reports.")
@click.option("-d", "--data", "dataset", required=True, help="Dataset: a name or a manifest.")
@click.option(
    "-p",
    "--protocol",
    default="paper",
    show_default=True,
    help="Protocol whose metrics are used; runs of one protocol are compared with each other.",
)
@click.option(
    "--pattern",
    default="{subject}_{session}_{modality}.nii.gz",
    show_default=True,
    help="Path of a file in FOLDER. Names: {case}, {subject}, {session}, {modality}, {target}. "
    "With {target} each file is a mask, else a label map.",
)
@click.option(
    "--labels",
    type=PATH,
    help='Values of a label map: nnU-Net\'s dataset.json, or JSON such as {"liver": 5} '
    "(default: the values of the dataset's references).",
)
@click.option(
    "--made-with",
    type=click.Choice(["class", "text", "point", "box", "scribble"]),
    default="class",
    show_default=True,
    help="Kind of prompt that the predictions were made with (class: the target's name alone).",
)
@data_root_option
@click.option(
    "--force", is_flag=True, help="Score in spite of errors in the data; every table tells of it."
)
@click.option("--name", help="Name of the run (default: derived from the files).")
def import_predictions(labels: Path | None, **settings: Any) -> None:
    """Score the predictions in FOLDER as a run.

    The run stands in umd show, compare, rank and report like any other. Its files are not changed.
    """
    from evaluator.cli.show import print_table
    from evaluator.evaluation import imported_predictions as imports
    from evaluator.manifests.label_tables import read_label_table

    table = read_label_table(labels) if labels else None
    config = imports.ImportConfig(labels=table.targets if table else None, **settings)
    run = imports.import_predictions(config)
    print_table(run)
    click.echo(f"run: {run.path}")
