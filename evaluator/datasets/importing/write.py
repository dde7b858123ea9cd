"""Write the manifest and the case list of a dataset; an existing list gets new rows only."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from evaluator.datasets.importing.shared_references import resampled_reference
from evaluator.errors import UserError
from evaluator.files import write_bytes
from evaluator.manifests.case_lists import REQUIRED, UNITS
from evaluator.manifests.datasets import read_dataset_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.datasets.importing.found import FoundScan, Survey
    from evaluator.manifests.case_lists import Row
    from evaluator.types import ExpectedCounts

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetText:
    """What the manifest says of the data."""

    name: str
    title: str = ""
    license: str = NOT_STATED
    citation: str = NOT_STATED
    reference_origin: str = NOT_STATED
    #: models whose output, or whose training data, the references are
    circular: tuple[str, ...] = ()
    expected: ExpectedCounts | None = None
    synthetic: bool = False
    #: file of the table of subjects; empty: none
    subjects: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDataset:
    """The files, and how many rows were there and are new."""

    manifest: Path
    case_list: Path
    before: int
    added: int


def write_dataset(survey: Survey, text: DatasetText, folder: Path) -> WrittenDataset:
    """Write ``NAME.toml`` and ``NAME.tsv``.

    If both exist, the manifest stays as it is, and rows of the list stay as they are; only rows of
    images and references that it lacks are added at its end.

    Raises:
        UserError: the folder lies inside the data, or the existing manifest has another root.
    """
    manifest, case_list = folder / f"{text.name}.toml", folder / f"{text.name}.tsv"
    root = survey.root.resolve()
    if folder.resolve().is_relative_to(root):
        raise UserError(f"{folder} lies inside the data; choose another folder with --output")
    reference_folder = folder.resolve() / f"{text.name}-references"
    rows = _rows(survey, reference_folder)
    if not manifest.exists():
        write_bytes(case_list, ("\n".join(["\t".join(REQUIRED), *rows]) + "\n").encode())
        write_bytes(manifest, _manifest(root, text).encode())
        return WrittenDataset(manifest=manifest, case_list=case_list, before=0, added=len(rows))
    existing = read_dataset_manifest(manifest)
    if (folder / existing.root.folder).resolve() != root:
        raise UserError(
            f"{manifest} describes data in {existing.root.folder}; "
            "choose another --name or --output"
        )
    files = Counter(tuple(row.split("\t")[3:5]) for row in rows)
    present = {_identity(row) for row in existing.rows}
    sessions = {(row.subject, row.session, *_identity(row)) for row in existing.rows}
    added = []
    for row in rows:
        subject, session, _, *identity = row.split("\t")[:5]
        # a corrected name stays; an image that belongs to several sessions is looked up in each
        is_known = tuple(identity) in present
        if files[tuple(identity)] > 1:
            is_known = (subject, session, *identity) in sessions
        if not is_known:
            added.append(row)
    if added:
        body = case_list.read_text(encoding="utf-8-sig").rstrip("\n")
        columns = body.splitlines()[0].split("\t")
        placed = [_in_columns(row, columns) for row in added]
        write_bytes(case_list, ("\n".join([body, *placed]) + "\n").encode())
    return WrittenDataset(
        manifest=manifest, case_list=case_list, before=len(existing.rows), added=len(added)
    )


def _identity(row: Row) -> tuple[str, str]:
    return (row.image, row.reference)


def _in_columns(row: str, columns: list[str]) -> str:
    """A row in the order of an existing list's columns, which may have more."""
    fields = dict(zip(REQUIRED, row.split("\t"), strict=True))
    return "\t".join(fields.get(name, "") for name in columns)


def _rows(survey: Survey, reference_folder: Path) -> list[str]:
    rows: list[str] = []
    for scan in survey.scans:
        rows += _scan_rows(scan, survey.root, reference_folder)
    return rows


def _scan_rows(scan: FoundScan, root: Path, reference_folder: Path) -> list[str]:
    """The rows of a scan; ``made`` is the folder of references that have to be resampled."""
    rows = []
    for number, reference in enumerate(scan.references):
        path = reference.path.relative_to(root).as_posix()
        if scan.shared:
            name = f"{scan.subject}.{scan.session}.{scan.modality}-{number}.nii.gz"
            path = str(resampled_reference(reference, scan.grid, reference_folder / name))
        labels = ";".join(
            f"{name}={','.join(map(str, values))}" for name, values in reference.labels.items()
        )
        fields = [
            scan.subject,
            scan.session,
            scan.modality,
            scan.image.relative_to(root).as_posix(),
            path,
            UNITS[scan.modality],
            labels,
        ]
        rows.append("\t".join(fields))
    return rows


def _manifest(root: Path, text: DatasetText) -> str:
    facts = {
        "name": text.name,
        "title": text.title or text.name,
        "license": text.license,
        "citation": text.citation,
        "reference_origin": text.reference_origin,
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()]
    if text.circular:
        lines.append(f"circular = {json.dumps(list(text.circular))}")
    if text.expected:
        counts = [f"{k} = {n}" for k, n in asdict(text.expected).items() if n is not None]
        lines.append("expected = { " + ", ".join(counts) + " }")
    if text.subjects:
        lines.append(f"subjects = {json.dumps(text.subjects, ensure_ascii=False)}")
    lines.append(f"synthetic = {'true' if text.synthetic else 'false'}")
    folder = json.dumps(str(root), ensure_ascii=False)
    return "\n".join([*lines, "", "[root]", f"folder = {folder}", ""])
