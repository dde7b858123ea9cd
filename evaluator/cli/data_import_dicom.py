"""The work of ``umd data import --layout dicom``: index, show, ask, convert, write."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import click

from evaluator.cli.progress import Counts
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom import Store
    from evaluator.datasets.importing import Survey

#: so many files of a folder are looked at to recognise DICOM
LOOKED_AT = 200
#: so many notes are listed
LISTED = 8


def holds_studies(folder: Path) -> bool:
    """Whether one of the first files of a folder is DICOM, and it is no other layout."""
    from evaluator.datasets.dicom.reading import has_marker
    from evaluator.datasets.importing.tree import walk_tree
    from evaluator.manifests.layouts import recognise_layout

    if recognise_layout(folder) or any(
        (folder / name).exists() for name in ("dataset.json", "dataset_description.json")
    ):
        return False
    files = (folder / entry.path for entry in walk_tree(folder) if not entry.problem)
    for path in islice(files, LOOKED_AT):
        # an error of the system would name a path, which may hold a patient's name
        with suppress(OSError):
            if has_marker(path):
                return True
    return False


def import_studies(
    folder: Path,
    *,
    name: str,
    converted: Path | None,
    confirm: Callable[[], None],
    show: Callable[[Survey], None],
) -> Survey:
    """Index and convert a study tree.

    Args:
        folder: the tree; nothing is written there.
        name: of the dataset.
        converted: where images go; None for the project's cache.
        confirm: asks whether to go on; raises if not.
        show: prints what was understood.

    Returns:
        what was converted; its files are in the store of the project.

    Raises:
        UserError: there is no such folder.
        DatasetError: it holds no image with a reference.
        HostError: a library is missing, or a file cannot be written.
    """
    from evaluator.datasets import dicom
    from evaluator.datasets.importing.archives import require_folder
    from evaluator.locks import file_lock

    require_folder(folder)
    dicom.require_libraries()
    store = dicom.open_store(name, folder, converted)
    # two imports beside each other would give one patient two numbers
    lock = store.private / "lock"
    with file_lock(lock, "umd data import", optional=True, on_wait=_tell_wait):
        return _import_to(store, folder, confirm, show)


def _tell_wait(holder: str) -> None:
    click.echo(f"waiting for {holder}, which imports to the same folder", err=True)


def _import_to(
    store: Store, folder: Path, confirm: Callable[[], None], show: Callable[[Survey], None]
) -> Survey:
    from evaluator.datasets import dicom

    with Counts() as progress:
        headers = dicom.index_tree(folder, store, progress=partial(progress.step, "files indexed"))
        plan = dicom.make_plan(folder, store, headers)
    sources = dicom.write_sources(store, plan)
    show(dicom.planned_survey(store, plan))
    ways = Counter((str(image.volume.modality), image.volume.way) for image in plan.images)
    for (modality, way), count in sorted(ways.items()):
        click.echo(f"{modality}: values of {counted(count, 'image')}: {way}", err=True)
    _show_notes(plan.notes)
    click.echo(f"{sources}: what became of each file (with paths; keep it here)", err=True)
    confirm()
    with Counts() as progress:
        step = partial(progress.step, "sessions converted")
        result = dicom.convert_images(folder, store, plan.images, progress=step)
    for entry in result.left_out:
        click.echo(f"left out: {entry.path.relative_to(store.folder)}: {entry.reason}", err=True)
    _show_notes(result.notes)
    return dicom.converted_survey(store, plan, result)


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes[:LISTED]:
        click.echo(f"note: {note}", err=True)
    if len(notes) > LISTED:
        click.echo(f"note: ... and {len(notes) - LISTED} more", err=True)
