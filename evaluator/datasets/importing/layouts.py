"""Layouts of folders: patterns of the user, nnU-Net's tree, and BIDS."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

from evaluator.datasets.importing.archives import archives_text, require_folder
from evaluator.datasets.importing.declared_layout import declared_files
from evaluator.datasets.importing.found import MODALITY_WORDS, LeftOut, Survey, dataset_name
from evaluator.datasets.importing.layout_files import (
    LayoutFiles,
    LayoutOptions,
    add_image,
    add_reference,
)
from evaluator.datasets.importing.match_scans import SeriesRules, match_scans
from evaluator.datasets.importing.patterns import Match, match_files
from evaluator.datasets.importing.sidecars import leave_out_activity
from evaluator.datasets.importing.tree_files import read_tree
from evaluator.errors import DatasetError, ManifestError, UnknownNameError, UserError
from evaluator.manifests.label_tables import read_label_table
from evaluator.manifests.layouts import layout_files, recognise_layout
from evaluator.plain_text import counted, visible
from evaluator.volumes import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from evaluator.datasets.importing.found import Labels
    from evaluator.types import Modality

BIDS_IMAGES = (
    "sub-{subject}/ses-{session}/*/sub-*_{modality}.nii.gz",
    "sub-{subject}/*/sub-*_{modality}.nii.gz",
)
BIDS_REFERENCES = (
    "derivatives/*/sub-{subject}/ses-{session}/{modality}/sub-*_dseg.nii.gz",
    "derivatives/*/sub-{subject}/{modality}/sub-*_dseg.nii.gz",
)
#: so many reasons stand in an error
REASONS = 3
#: folders of BIDS data types -> modality
BIDS_TYPES: Mapping[str, Modality] = {"anat": "MR", "pet": "PT", "ct": "CT"}


def survey_folder(root: Path, layout: str, options: LayoutOptions) -> Survey:
    """Find all scans of a folder; only headers are read, and nothing is written.

    Args:
        root: the folder.
        layout: a name of ``LAYOUTS`` or of ``manifests/layouts``, or "auto".
        options: patterns, labels and words.

    Raises:
        UserError: the options do not suit the layout.
        DatasetError: nothing was found; the message says what was looked for.
    """
    require_folder(root)
    tree = read_tree(root)
    if tree.archives and not tree.volumes:
        raise UserError(f"{root} holds no image but {archives_text(tree.archives)}")
    name = _recognise(root, options) if layout == "auto" else layout
    if name not in LAYOUTS and name not in layout_files():
        raise UnknownNameError("layout", name, (*LAYOUTS, "dicom", *layout_files()))
    if name in LAYOUTS:
        files = LAYOUTS[name](root, tree.volumes, options)
    else:
        files = declared_files(root, tree.volumes, options, name)
    leave_out_activity(files)
    rules = SeriesRules(
        preferred=options.preferred,
        each_series=options.each_series,
        share_references=options.share_references,
    )
    scans, left_out, renamed = match_scans(files.images, files.references, rules)
    used = {scan.image for scan in scans}
    for scan in scans:
        used |= {reference.path for reference in scan.references}
    left_out = [*files.left_out, *left_out, *tree.left_out]
    known = used | {entry.path for entry in left_out}
    others = [
        LeftOut(path=path, reason=f"fits no pattern of layout {name}")
        for path in tree.volumes
        if path not in known
    ]
    if not scans:
        first = [*left_out, *others][:REASONS]
        reasons = "; ".join(
            f"{visible(str(entry.path.relative_to(root)))}: {entry.reason}" for entry in first
        )
        raise DatasetError(
            f"{root} holds no scan with a reference in layout {name}; it holds "
            f"{counted(len(tree.volumes), 'volume')}{': ' + reasons if reasons else ''}"
        )
    return Survey(
        root=root,
        layout=name,
        scans=tuple(scans),
        left_out=(*left_out, *others),
        renamed=renamed,
        others=tree.others,
    )


def _recognise(root: Path, options: LayoutOptions) -> str:
    if options.images:
        return "pattern"
    if (root / "dataset.json").is_file():
        return "nnunet"
    if name := recognise_layout(root):
        return name
    if (root / "dataset_description.json").is_file() or any(root.glob("sub-*")):
        return "bids"
    raise UserError(
        f"the layout of {root} is not recognised: it has no dataset.json (nnU-Net), no sub-* "
        f"folders (BIDS), and no file of {', '.join(layout_files())}. Describe the paths with "
        "--image and --reference, for example --image "
        '"{subject}/{modality}.nii.gz" --reference "{subject}/{modality}_{target}.nii.gz"'
    )


def _by_pattern(root: Path, volumes: list[Path], options: LayoutOptions) -> LayoutFiles:
    if not options.images or not options.references:
        raise UserError("a layout by patterns needs --image and --reference")
    files = LayoutFiles()
    words = MODALITY_WORDS | dict(options.words)
    references: set[Path] = set()
    for pattern in options.references:
        for match in match_files(root, volumes, pattern, words):
            references.add(match.path)
            add_reference(files, match, words, options.labels)
    for pattern in options.images:
        for match in match_files(root, volumes, pattern, words):
            if match.path not in references:
                add_image(files, match, words, pattern)
    _require_used(options.labels, files)
    return files


def _require_used(labels: Labels, files: LayoutFiles) -> None:
    """Refuse names of labels that no reference has; raises UserError."""
    targets = sorted({target for reference in files.references for target in reference.labels})
    names = {*targets, *map(dataset_name, targets)}
    if not labels or not targets or names & set(labels):
        return
    raise UserError(
        f"no reference has a label named {', '.join(labels)}: the paths name the targets "
        f"{', '.join(targets)}. Use these names in --label and --labels, or a pattern without "
        "{target}"
    )


def _nnunet(root: Path, volumes: list[Path], options: LayoutOptions) -> LayoutFiles:
    """``imagesTr/CASE_0000.nii.gz`` for channel 0, ``labelsTr/CASE.nii.gz``; likewise ``Ts``."""
    path = root / "dataset.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8-sig"))
        channels = body.get("channel_names") or body["modality"]
        names = {f"{int(number):04d}": str(name) for number, name in channels.items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ManifestError(f"{path}: not a dataset.json of nnU-Net: {error}") from None
    labels = options.labels or read_label_table(path).targets
    words = MODALITY_WORDS | dict(options.words)
    files = LayoutFiles()
    for part in ("Tr", "Ts"):
        for volume in volumes:
            folder, stem = volume.relative_to(root).parent.as_posix(), _stem(volume)
            if folder == f"labels{part}":
                add_reference(files, Match(volume, {"subject": stem}), words, labels)
            if folder != f"images{part}":
                continue
            # a case may have "_" in its name: the channel is the last part
            subject, _, number = stem.rpartition("_")
            channel = names.get(number)
            if not subject or channel is None:
                reason = f"dataset.json has no channel {number}; names end with _0000, _0001, ..."
                files.left_out.append(LeftOut(path=volume, reason=reason))
                continue
            named = Match(volume, {"subject": subject, "modality": channel})
            add_image(files, named, words, channel)
    return files


def _stem(volume: Path) -> str:
    """The name of a volume without its suffix, in composed letters."""
    suffix = next(suffix for suffix in SUFFIXES if volume.name.lower().endswith(suffix))
    return unicodedata.normalize("NFC", volume.name[: -len(suffix)])


def _bids(root: Path, volumes: list[Path], options: LayoutOptions) -> LayoutFiles:
    words = MODALITY_WORDS | dict(options.words)
    files = LayoutFiles()
    seen: set[Path] = set()
    for pattern in BIDS_REFERENCES:
        for match in match_files(root, volumes, pattern):
            if match.path in seen:
                continue
            seen.add(match.path)
            labels = options.labels or _bids_labels(root, match.path)
            add_reference(files, match, {**words, **BIDS_TYPES}, labels)
    for pattern in BIDS_IMAGES:
        for match in match_files(root, volumes, pattern):
            if match.path not in seen:
                seen.add(match.path)
                add_image(files, match, words, pattern)
    return files


def _bids_labels(root: Path, reference: Path) -> Labels:
    """The table beside a file, or the first ``*_dseg.tsv`` in a folder above it."""
    beside = reference.with_name(reference.name.split(".")[0] + ".tsv")
    if beside.is_file():
        return read_label_table(beside).targets
    for folder in reference.parents:
        for path in sorted(folder.glob("*dseg.tsv")):
            return read_label_table(path).targets
        if folder == root:
            break
    return {}


#: layout -> how its files are found
LAYOUTS: dict[str, Callable[[Path, list[Path], LayoutOptions], LayoutFiles]] = {
    "pattern": _by_pattern,
    "nnunet": _nnunet,
    "bids": _bids,
}
