"""``umd data``: datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evaluator.cli.options import PATH, data_root_option, json_option, output_folder_option
from evaluator.cli.tables import table_options


@click.group(epilog="Example: umd data verify ibsi-sts")
def data() -> None:
    """List, import, fetch, verify and generate datasets."""


@data.command("list", epilog="Example: umd data list --json")
@json_option("dataset")
def list_(as_json: bool) -> None:
    """List the project's datasets."""
    from evaluator.manifests.datasets import dataset_manifests, read_dataset_manifest

    for path in dataset_manifests().values():
        manifest = read_dataset_manifest(path)
        body = {
            key: getattr(manifest, key)
            for key in ("name", "title", "synthetic", "license", "reference_origin")
        }
        if as_json:
            click.echo(json.dumps(body))
        else:
            click.echo(
                f"{manifest.name:24} {manifest.title} (references: {manifest.reference_origin})"
            )


@data.command(epilog="Example: umd data show phantom")
@click.argument("name")
@data_root_option
@json_option("scan")
def show(name: str, data_root: Path | None, as_json: bool) -> None:
    """Show the cases of dataset NAME (a name, or the path of a manifest)."""
    from evaluator.datasets import load_dataset

    dataset = load_dataset(name, data_root)
    if not as_json:
        click.echo(f"{dataset.title}\nlicence: {dataset.license}\ncitation: {dataset.citation}")
        click.echo(f"references: {dataset.reference_origin}")
        click.echo(f"synthetic: {'yes' if dataset.synthetic else 'no'}")
    for case in dataset.cases:
        if as_json:
            for scan in case.scans.values():
                body: dict[str, Any] = {
                    "case": case.id,
                    "subject": case.subject,
                    "session": case.session,
                    "modality": scan.modality,
                }
                body |= {"image": str(scan.image), "unit": scan.unit, "targets": scan.targets}
                click.echo(json.dumps(body))
        else:
            targets = {len(scan.targets) for scan in case.scans.values()}
            counts = "/".join(map(str, sorted(targets)))
            noun = "target" if targets == {1} else "targets"
            click.echo(f"{case.id:24} {'+'.join(case.scans):10} {counts} {noun}")


@data.command(epilog="Example: umd data path ibsi-sts")
@click.argument("name")
@data_root_option
def path(name: str, data_root: Path | None) -> None:
    """Print the folder that contains the files of dataset NAME."""
    import os

    from evaluator.datasets import load_dataset

    folders: list[str] = []
    for case in load_dataset(name, data_root).cases:
        folders += [str(scan.image.parent) for scan in case.scans.values()]
    click.echo(os.path.commonpath(folders))


@data.command(epilog="Example: umd data fetch colin27")
@click.argument("name")
def fetch(name: str) -> None:
    """Fetch the files of dataset NAME, if a Debian package contains them, and check their hashes.

    Nothing is installed. The files go to the project's cache, where umd run finds them.
    """
    from evaluator.datasets.debian_package import fetch_debian
    from evaluator.errors import UnknownNameError
    from evaluator.manifests.datasets import (
        dataset_manifests,
        fetched_folder,
        read_dataset_manifest,
    )

    manifests = dataset_manifests()
    if name not in manifests:
        raise UnknownNameError("dataset", name, manifests)
    for file in fetch_debian(read_dataset_manifest(manifests[name]), fetched_folder(name)):
        click.echo(file)


@data.command(
    "import",
    epilog='Example: umd data import /data/petct --image "{subject}/{modality}.nii.gz" '
    '--reference "{subject}/{modality}_{target}.nii.gz" --name petct',
)
@click.argument("folder", type=PATH)
@click.option("--name", required=True, help="Name of the dataset: small letters, digits, dashes.")
@click.option(
    "--layout",
    metavar="auto|pattern|nnunet|bids|dicom|NAME",
    default="auto",
    show_default=True,
    help="How the files are named; NAME is a public dataset of manifests/layouts, such as umd.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="PATTERN",
    help="Path of images in FOLDER with {subject}, {session}, {modality} (repeatable).",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="PATTERN",
    help="Path of references, also with {target} for one mask a file (repeatable).",
)
@click.option(
    "--labels",
    type=PATH,
    help="Names of the labels: dataset.json, JSON, BIDS dseg.tsv, or a colour table of Slicer.",
)
@click.option(
    "--label",
    "label_values",
    multiple=True,
    metavar="NAME=VALUE",
    help="Name and value of a label (repeatable), such as lesion=1; masks of 255: lesion=255.",
)
@click.option(
    "--modality",
    "words",
    multiple=True,
    metavar="WORD=CT|MR|PT",
    help="A word in file names that stands for a modality (repeatable).",
)
@click.option(
    "--series",
    type=click.Choice(["first", "each"]),
    default="first",
    show_default=True,
    help="Several images of a modality in a session: use the first, or make each further one a "
    "session with the other images.",
)
@click.option(
    "--prefer",
    "preferred",
    multiple=True,
    metavar="WORD",
    help="Word in the path of the image that comes first among several of a modality (repeatable).",
)
@click.option(
    "--share-references",
    is_flag=True,
    help="Give images without a reference on their grid those of another image of the session, "
    "resampled; the new files are written beside the manifest.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=".",
    show_default=True,
    help="Folder for NAME.toml and NAME.tsv; never inside FOLDER.",
)
@click.option(
    "--converted",
    type=PATH,
    help="Folder for images converted from DICOM; by default in the project's cache.",
)
@click.option("--title", default="", help="Title of the dataset.")
@click.option("--license", "license_", default="not stated", help="Licence of the data.")
@click.option("--citation", default="not stated", help="How the data are cited.")
@click.option(
    "--reference-origin",
    default="not stated",
    help='Who made the references, such as "corrected by two physicians".',
)
@click.option(
    "--circular",
    multiple=True,
    metavar="MODEL",
    help="Model whose output the references are, or that was trained on them (repeatable).",
)
@click.option("--yes", is_flag=True, help="Write the files without a question.")
@json_option("scan")
def import_(folder: Path, as_json: bool, **settings: Any) -> None:
    """Make a dataset of the images and references in FOLDER.

    Shows what was understood, and writes a manifest and a case list after a question. Only headers
    are read. The same command adds images that are new; rows that exist are never changed. DICOM
    studies are converted to NIfTI in the project's cache, with pseudonyms.
    """
    from evaluator.cli.data_import import import_folder

    import_folder(folder, as_json=as_json, **settings)


@data.command(epilog="Example: umd data verify phantom --html check.html")
@click.argument("name")
@data_root_option
@click.option(
    "--depth",
    type=click.Choice(["headers", "quick", "full"]),
    default="full",
    show_default=True,
    help="headers: no voxel is read; quick: as before each run; full: also units by organs, "
    "anatomy, duplicates by content, and bodies of pairs.",
)
@click.option("-o", "--output", type=PATH, help="Write everything that was found to a JSON file.")
@click.option("--html", type=PATH, help="Write pages with pictures of every scan: this HTML file.")
@table_options
@json_option("finding")
def verify(name: str, data_root: Path | None, **options: Any) -> None:
    """Check every file of dataset NAME: hashes, geometry, labels, units, anatomy, pairs.

    Prints one line for each finding, then what the images of a case have in common. Exit code 0:
    no finding, or only notes; 1: warnings; 5: errors.
    """
    from evaluator.cli.data_verify import verify_dataset

    verify_dataset(name, data_root, **options)


@data.command(epilog="Example: umd data card phantom -o phantom.html")
@click.argument("name")
@data_root_option
@click.option("-o", "--output", type=PATH, required=True, help="HTML file to write.")
def card(name: str, data_root: Path | None, output: Path) -> None:
    """Write the page of dataset NAME: subjects, grids, organ volumes, and values, with plots."""
    from evaluator.cli.data_verify import write_card_page

    write_card_page(name, data_root, output)


@data.command(epilog="Example: umd data phantom --cases 4 --size 128 96 200 --seed 7 -o my-phantom")
@click.option(
    "--like",
    type=click.Choice(["umd"]),
    help="Instead, a folder with the layout, counts (954 subjects) and size of UMD, to be imported "
    "with --layout umd; --cases and --size make it smaller.",
)
@click.option(
    "--cases",
    type=click.IntRange(1, 10_000),
    default=4,
    show_default=True,
    help="Number of subjects.",
)
@click.option(
    "--size",
    type=click.IntRange(8, 1024),
    nargs=3,
    default=(96, 72, 160),
    show_default=True,
    help="Voxels of CT and MR along right, anterior, superior.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Equal seeds generate equal files.",
)
@output_folder_option
def phantom(
    like: str | None, cases: int, size: tuple[int, int, int], seed: int, output: Path
) -> None:
    """Generate a SYNTHETIC whole-body PET/CT and PET/MR dataset, with manifest and case list."""
    from evaluator.cli.data_stand_in import make_phantom, make_stand_in

    if like:
        make_stand_in(cases, size, seed, output)
    else:
        make_phantom(cases, size, seed, output)
