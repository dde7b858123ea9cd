"""Match references with images: the same subject and session, on the same grid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluator.datasets.importing.case_names import CaseNames
from evaluator.datasets.importing.found import (
    FoundReference,
    FoundScan,
    LeftOut,
    dataset_name,
)
from evaluator.datasets.importing.grids import Grids
from evaluator.imaging.geometry import difference
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

#: the session of files whose paths name none
SESSION = "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image, as its path describes it."""

    path: Path
    subject: str
    session: str | None
    modality: Modality
    #: the word in the path that stands for the modality
    word: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFile:
    """A reference, as its path describes it; without a modality it may belong to any image."""

    path: Path
    subject: str
    session: str | None
    modality: Modality | None
    word: str | None
    labels: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRules:
    """What to do with several images of a modality in a session, and with images on other grids."""

    #: words of images that come first
    preferred: tuple[str, ...] = ()
    #: each further image of a modality becomes a session of its own, with the session's other
    #: images; else it is left out
    each_series: bool = False
    #: images without a reference on their grid get those of another image of the session
    share_references: bool = False


def match_scans(
    images: Sequence[ImageFile],
    references: Sequence[ReferenceFile],
    rules: SeriesRules | None = None,
) -> tuple[list[FoundScan], list[LeftOut], dict[str, str]]:
    """All images that have references on their grid.

    Args:
        images: by their paths.
        references: by their paths.
        rules: for several images of a modality; None: the first one counts.

    Returns:
        the scans, the files that are left out, and the names that had to change.
    """
    by_subject: dict[tuple[str, str], list[ReferenceFile]] = defaultdict(list)
    for reference in references:
        by_subject[_case(reference)].append(reference)
    names = CaseNames([*map(_case, images), *map(_case, references)])
    scans: dict[tuple[str, str, str], FoundScan] = {}
    left_out: list[LeftOut] = []
    renamed = names.changes()
    reasons: dict[Path, str] = {}
    grids = Grids()
    rules = rules or SeriesRules()
    further: list[tuple[FoundScan, ImageFile]] = []
    without: list[tuple[ImageFile, LeftOut]] = []
    for image in sorted(images, key=lambda entry: _rank(entry, rules)):
        candidates = _candidates(by_subject[_case(image)], image)
        scan = _scan(image, names.of(*_case(image)), candidates, grids, renamed, reasons)
        if isinstance(scan, LeftOut):
            without.append((image, scan))
        elif scan.key in scans:
            further.append((scan, image))
        else:
            scans[scan.key] = scan
    for image, entry in without:
        case = names.of(*_case(image))
        shared = share_references(image, case, scans, grids.of(image.path), rules)
        if shared is None:
            left_out.append(entry)
        else:
            scans[shared.key] = shared
    left_out += _further_series(further, scans, rules)
    left_out += _unmatched(images, references, scans.values(), grids.problems | reasons)
    return [scans[key] for key in sorted(scans)], left_out, renamed


def _case(file: ImageFile | ReferenceFile) -> tuple[str, str]:
    return file.subject, file.session or SESSION


def _unmatched(
    images: Iterable[ImageFile],
    references: Iterable[ReferenceFile],
    scans: Iterable[FoundScan],
    reasons: Mapping[Path, str],
) -> Iterator[LeftOut]:
    """The references that belong to no scan."""
    matched = {reference.path for scan in scans for reference in scan.references}
    cases = {_case(image) for image in images}
    for reference in references:
        if reference.path in matched:
            continue
        reason = "there is no image of its subject and session"
        if _case(reference) in cases:
            reason = "no image of its subject has its grid"
        reason = reasons.get(reference.path, reason)
        yield LeftOut(path=reference.path, reason=reason)


def _rank(image: ImageFile, rules: SeriesRules) -> int:
    """The place of an image's word among the preferred ones; others follow in their order."""
    words = [word.lower() for word in rules.preferred]
    word = (image.word or "").lower()
    return words.index(word) if word in words else len(words)


def share_references(
    image: ImageFile,
    case: tuple[str, str],
    scans: Mapping[tuple[str, str, str], FoundScan],
    grid: Grid | None,
    rules: SeriesRules,
) -> FoundScan | None:
    """The image with the references of another one of its session, which have another grid.

    Returns:
        None if the rules do not say so, or the session has no reference.
    """
    if not rules.share_references or grid is None:
        return None
    subject, session = case
    for modality in MODALITIES:
        sibling = scans.get((subject, session, modality))
        if sibling is None or modality == image.modality or sibling.shared:
            continue
        if (subject, session, image.modality) in scans:
            return None
        return FoundScan(
            subject=subject,
            session=session,
            modality=image.modality,
            image=image.path,
            grid=grid,
            references=sibling.references,
            shared=True,
        )
    return None


def _further_series(
    further: Sequence[tuple[FoundScan, ImageFile]],
    scans: dict[tuple[str, str, str], FoundScan],
    rules: SeriesRules,
) -> list[LeftOut]:
    """Give each further image of a modality a session with the other images, or leave it out."""
    left_out = []
    base = dict(scans)
    for scan, image in further:
        first = base[scan.key].image
        if not rules.each_series:
            reason = (
                f"a second {image.modality} of this subject and session, beside {first.name}; "
                "--series each makes a session of it, --prefer WORD takes it instead"
            )
            left_out.append(LeftOut(path=image.path, reason=reason))
            continue
        session = _free_session(scan, image, scans)
        scans[scan.subject, session, scan.modality] = replace(scan, session=session)
        for modality in MODALITIES:
            sibling = base.get((scan.subject, scan.session, modality))
            if sibling is not None and modality != scan.modality:
                scans[scan.subject, session, modality] = replace(sibling, session=session)
    return left_out


def _free_session(
    scan: FoundScan, image: ImageFile, scans: Mapping[tuple[str, str, str], FoundScan]
) -> str:
    """A session's name with the word of the image, and a number if it is taken."""
    name = f"{scan.session}-{dataset_name(image.word or image.path.name.split('.')[0])}"
    number, free = 1, name
    while (scan.subject, free, scan.modality) in scans:
        number += 1
        free = f"{name}-{number}"
    return free


def _candidates(references: Iterable[ReferenceFile], image: ImageFile) -> list[ReferenceFile]:
    """References that may belong to an image; those with its word come before others with one."""
    possible = [reference for reference in references if _may_belong(reference, image)]
    if any(reference.word is not None and reference.word == image.word for reference in possible):
        return [reference for reference in possible if reference.word in (None, image.word)]
    return possible


def _may_belong(reference: ReferenceFile, image: ImageFile) -> bool:
    if reference.word is not None and image.word is not None and reference.word == image.word:
        return True
    return reference.modality in (None, image.modality)


def _scan(
    image: ImageFile,
    case: tuple[str, str],
    candidates: Iterable[ReferenceFile],
    grids: Grids,
    renamed: dict[str, str],
    reasons: dict[Path, str],
) -> FoundScan | LeftOut:
    """An image with its references; why a reference is not used is added to the reasons."""
    grid = grids.of(image.path)
    if grid is None:
        return LeftOut(path=image.path, reason=grids.problems[image.path])
    found: list[FoundReference] = []
    files: dict[str, str] = {}
    mismatch = "it has no reference"
    for reference in candidates:
        other = grids.of(reference.path)
        if other is None:
            mismatch = f"its reference {reference.path.name} cannot be read"
            continue
        if differs := difference(grid, other):
            mismatch = f"its reference {reference.path.name} has another grid: {differs}"
            continue
        labels = {_named(name, renamed): values for name, values in reference.labels.items()}
        if len({name.lower() for name in labels}) < len(reference.labels):
            mismatch = (
                f"two labels of {reference.path.name} get one name: {', '.join(reference.labels)}"
            )
            reasons[reference.path] = mismatch
            continue
        if name := next((name for name in labels if name.lower() in files), None):
            reasons[reference.path] = f"a second {name} of its image, beside {files[name.lower()]}"
            continue
        files |= dict.fromkeys(map(str.lower, labels), reference.path.name)
        found.append(FoundReference(path=reference.path, labels=labels))
    if not found:
        return LeftOut(path=image.path, reason=mismatch)
    return FoundScan(
        subject=case[0],
        session=case[1],
        modality=image.modality,
        image=image.path,
        grid=grid,
        references=tuple(found),
    )


def _named(text: str, renamed: dict[str, str]) -> str:
    name = dataset_name(text)
    if name != text:
        renamed[text] = name
    return name
