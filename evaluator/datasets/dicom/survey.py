"""The plan of an import as a survey, which the importer shows and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import FoundReference, FoundScan, LeftOut, Survey
from evaluator.errors import DatasetError
from evaluator.files import write_bytes
from evaluator.plain_text import counted, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.convert import Converted
    from evaluator.datasets.dicom.plan import Plan, PlannedImage
    from evaluator.datasets.dicom.store import Store

#: reasons that an error lists
LISTED = 5


def planned_survey(store: Store, plan: Plan) -> Survey:
    """What the import would write, if every voxel and contour can be read.

    Raises:
        DatasetError: there is no image with a reference; the message gives reasons.
    """
    by_place = {(image.folder, image.volume.modality): image for image in plan.images}
    scans = []
    for image in plan.images:
        source = image
        if image.anchor is not None:
            source = by_place[image.folder, image.anchor]
        references = [
            FoundReference(
                path=store.folder / image.mask(reference.target), labels={reference.target: (1,)}
            )
            for reference in source.references
        ]
        scans.append(_scan(store, image, references))
    return _survey(store, scans, _left_out(store, plan))


def converted_survey(store: Store, plan: Plan, converted: Converted) -> Survey:
    """What was converted; raises DatasetError if nothing was."""
    return _survey(store, converted.scans, [*_left_out(store, plan), *converted.left_out])


def _survey(store: Store, scans: Sequence[FoundScan], left_out: Sequence[LeftOut]) -> Survey:
    if not scans:
        reasons = [f"{entry.path.relative_to(store.folder)}: {entry.reason}" for entry in left_out]
        shown = "; ".join(reasons[:LISTED]) or "it holds no DICOM file"
        more = f"; and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
        raise DatasetError(
            "the folder holds no CT, MR or PET series with an RTSTRUCT or DICOM-SEG on it: "
            f"{shown}{more}"
        )
    return Survey(root=store.folder, layout="dicom", scans=tuple(scans), left_out=tuple(left_out))


def _scan(store: Store, image: PlannedImage, references: Sequence[FoundReference]) -> FoundScan:
    return FoundScan(
        subject=image.subject,
        session=image.session,
        modality=image.volume.modality,
        image=store.folder / image.image,
        grid=image.volume.stack.grid,
        references=tuple(references),
    )


def _left_out(store: Store, plan: Plan) -> list[LeftOut]:
    """Groups of files, named without an identifier, in place of paths."""
    entries = []
    for sentence in plan.left_out:
        count = len(sentence.files)
        label = sentence.label
        if not label or count > 1:
            label = ", ".join(filter(None, (label, counted(count, "file"))))
        entries.append(LeftOut(path=store.folder / label, reason=sentence.reason))
    return entries


def write_sources(store: Store, plan: Plan) -> Path:
    """Write which files became what, with their paths, to the private folder.

    Returns:
        the table, which only its owner can read.
    """
    rows: list[Iterable[str]] = [("file", "became", "reason")]
    for image in plan.images:
        rows += [
            (path, image.image, image.volume.way)
            for path in dict.fromkeys(header.path for header in image.volume.stack.headers)
        ]
        rows += [
            (path, f"{image.folder}/{image.volume.modality}-*", "reference")
            for path in dict.fromkeys(entry.header.path for entry in image.references)
        ]
    for sentence in plan.left_out:
        rows += [(path, sentence.label, sentence.reason) for path in sentence.files]
    path = store.private / "sources.tsv"
    write_bytes(
        path,
        "".join("\t".join(map(visible, row)) + "\n" for row in rows).encode("utf-8", "replace"),
    )
    return path
