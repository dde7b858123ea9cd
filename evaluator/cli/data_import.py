"""The work of ``umd data import``: survey a folder, show it, ask, write."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from evaluator.datasets.dataset_checks import count_differences
from evaluator.datasets.importing import DatasetText, survey_folder, write_dataset
from evaluator.datasets.importing.layout_files import LayoutOptions
from evaluator.datasets.importing.write import NOT_STATED
from evaluator.imaging.geometry import spacing
from evaluator.manifests.label_tables import read_label_table
from evaluator.manifests.layouts import layout_files, load_layout
from evaluator.plain_text import counted, visible
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.datasets.importing import FoundScan, Survey
    from evaluator.types import Modality

#: a folder with this file holds synthetic data
SYNTHETIC_FILE = "SYNTHETIC.txt"
#: files that are left out, and changed names, of which so many are listed
LISTED = 8


def import_folder(folder: Path, *, as_json: bool, **settings: Any) -> None:
    """See ``umd data import``; the settings are its options."""
    options = LayoutOptions(
        images=settings["images"],
        references=settings["references"],
        labels=_labels(settings["labels"], settings["label_values"]),
        words=_words(settings["words"]),
        preferred=settings["preferred"],
        each_series=settings["series"] == "each",
        share_references=settings["share_references"],
    )
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", settings["name"]):
        raise click.UsageError("--name consists of small letters, digits and dashes")
    if _is_dicom(folder, settings):
        from evaluator.cli.data_import_dicom import import_studies

        survey = import_studies(
            folder,
            name=settings["name"],
            converted=settings["converted"],
            confirm=lambda: _confirm(yes=settings["yes"]),
            show=lambda survey: _show(survey, as_json=as_json),
        )
    else:
        survey = survey_folder(folder, settings["layout"], options)
        _show(survey, as_json=as_json)
        _confirm(yes=settings["yes"])
    _write(survey, settings)


def _is_dicom(folder: Path, settings: dict[str, Any]) -> bool:
    if settings["layout"] != "auto" or settings["images"]:
        return bool(settings["layout"] == "dicom")
    from evaluator.cli.data_import_dicom import holds_studies

    return holds_studies(folder)


def _confirm(*, yes: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nothing was written; add --yes to write the dataset")
        click.confirm("Write the dataset?", abort=True, err=True)


def _write(survey: Survey, settings: dict[str, Any]) -> None:
    text = _dataset_text(survey.root, survey.layout, settings)
    written = write_dataset(survey, text, settings["output"])
    click.echo(
        f"{written.case_list}: {counted(written.added, 'row')} added, "
        f"{counted(written.before, 'was', 'were')} there",
        err=True,
    )
    click.echo(f"next: umd data verify {written.manifest}", err=True)
    click.echo(f"then: umd run -m region-growing -d {written.manifest}", err=True)


def _dataset_text(root: Path, layout: str, settings: dict[str, Any]) -> DatasetText:
    """What the options say of the data; for the rest, what the layout of a public dataset says."""
    text = DatasetText(
        name=settings["name"],
        title=settings["title"],
        license=settings["license_"],
        citation=settings["citation"],
        reference_origin=settings["reference_origin"],
        circular=settings["circular"],
        synthetic=(root / SYNTHETIC_FILE).is_file(),
        subjects=next((str(path) for path in _subject_tables(root) if path.is_file()), ""),
    )
    files = layout_files()
    if layout not in files:
        return text
    declared = load_layout(files[layout])
    facts: dict[str, Any] = {"expected": declared.expected}
    for field in ("title", "license", "citation", "reference_origin", "circular"):
        value = getattr(text, field)
        facts[field] = getattr(declared, field) if value in ("", NOT_STATED, ()) else value
    return replace(text, **facts)


def _subject_tables(root: Path) -> tuple[Path, ...]:
    return (root.resolve() / "subjects.tsv", root.resolve() / "participants.tsv")


def _labels(path: Path | None, values: Sequence[str]) -> dict[str, tuple[int, ...]]:
    labels = dict(read_label_table(path).targets) if path else {}
    for text in values:
        match = re.fullmatch(r"([^=]+)=(\d+(?:,\d+)*)", text)
        if match is None:
            raise click.UsageError(f"--label {text}: write NAME=VALUE, such as lesion=1")
        labels[match[1]] = tuple(int(value) for value in match[2].split(","))
    return labels


def _words(texts: Sequence[str]) -> dict[str, Modality]:
    words: dict[str, Modality] = {}
    for text in texts:
        word, equals, modality = text.partition("=")
        if not equals or modality not in MODALITIES:
            raise click.UsageError(f"--modality {text}: write WORD=CT, WORD=MR or WORD=PT")
        words[word.lower()] = modality
    return words


def _show(survey: Survey, *, as_json: bool) -> None:
    root = survey.root
    if as_json:
        for scan in survey.scans:
            click.echo(json.dumps(_scan_json(scan, root)))
        for entry in survey.left_out:
            path = str(entry.path.relative_to(root))
            click.echo(json.dumps({"left_out": path, "reason": entry.reason}))
        return
    subjects = {scan.subject for scan in survey.scans}
    modalities: dict[tuple[str, str], set[str]] = defaultdict(set)
    for scan in survey.scans:
        modalities[scan.subject, scan.session].add(str(scan.modality))
    click.echo(f"{root}: layout {survey.layout}, {counted(len(subjects), 'subject')}")
    groups = Counter("+".join(sorted(names)) for names in modalities.values())
    for group, count in sorted(groups.items()):
        remark = "" if "+" in group else ", no pair"
        click.echo(f"  {counted(count, 'session')} with {group}{remark}")
    for modality in sorted({scan.modality for scan in survey.scans}):
        scans = [scan for scan in survey.scans if scan.modality == modality]
        click.echo(f"  {modality}: {counted(len(scans), 'image')}, {_grids(scans)}")
        click.echo(f"    targets: {_targets(scans)}")
    for line in _count_lines(survey):
        click.echo(f"  {line}")
    shared = sum(scan.shared for scan in survey.scans)
    if shared:
        words = counted(shared, "image gets", "images get")
        click.echo(f"  {words} references of another image, resampled to the grid")
    if survey.renamed:
        changes = [f"'{visible(old)}' is {new}" for old, new in sorted(survey.renamed.items())]
        click.echo(f"  names changed: {_some(changes)}")
    _show_left_out(survey)


def _show_left_out(survey: Survey) -> None:
    if survey.others:
        kinds = [f"{count} {visible(kind)}" for kind, count in survey.others.most_common()]
        click.echo(f"  files that are no volumes: {_some(kinds)}")
    if survey.left_out:
        click.echo(f"  left out: {counted(len(survey.left_out), 'file')}")
        for entry in survey.left_out[:LISTED]:
            click.echo(f"    {visible(str(entry.path.relative_to(survey.root)))}: {entry.reason}")
        if len(survey.left_out) > LISTED:
            click.echo("    ... (--json lists all)")


def _count_lines(survey: Survey) -> list[str]:
    """What is missing to a complete copy of a public dataset."""
    files = layout_files()
    expected = load_layout(files[survey.layout]).expected if survey.layout in files else None
    scans: dict[str, set[str]] = defaultdict(set)
    for scan in survey.scans:
        scans[scan.subject].add(scan.modality)
    targets = {name for scan in survey.scans for ref in scan.references for name in ref.labels}
    return count_differences(expected, list(scans.values()), targets) if expected else []


def _scan_json(scan: FoundScan, root: Path) -> dict[str, Any]:
    return {
        "subject": scan.subject,
        "session": scan.session,
        "modality": scan.modality,
        "image": str(scan.image.relative_to(root)),
        "references": [str(entry.path.relative_to(root)) for entry in scan.references],
        "targets": sorted({name for entry in scan.references for name in entry.labels}),
        "shape": scan.grid.shape,
    }


def _grids(scans: Sequence[FoundScan]) -> str:
    """Ranges of shapes and spacings."""
    shapes = [scan.grid.shape for scan in scans]
    sizes = [spacing(np.array(scan.grid.affine)) for scan in scans]
    voxels = [f"{min(column)}..{max(column)}" for column in zip(*shapes, strict=True)]
    widths = [f"{min(column):.3g}..{max(column):.3g}" for column in zip(*sizes, strict=True)]
    return f"{' x '.join(map(_one, voxels))} voxels of {' x '.join(map(_one, widths))} mm"


def _one(text: str) -> str:
    """A range of one value as the value."""
    low, _, high = text.partition("..")
    return low if low == high else text


def _targets(scans: Sequence[FoundScan]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for scan in scans:
        for name in {name for entry in scan.references for name in entry.labels}:
            counts[name] += 1
    texts = []
    for name, count in sorted(counts.items()):
        texts.append(name if count == len(scans) else f"{name} ({count})")
    return ", ".join(texts)


def _some(texts: Sequence[str]) -> str:
    listed = ", ".join(texts[:LISTED])
    return listed if len(texts) <= LISTED else f"{listed}, ... ({len(texts)} in all)"
