"""Match references with images: the same subject and session, on the same grid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import (
    FoundReference,
    FoundScan,
    LeftOut,
    dataset_name,
)
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import difference
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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


def match_scans(
    images: Sequence[ImageFile], references: Sequence[ReferenceFile]
) -> tuple[list[FoundScan], list[LeftOut], dict[str, str]]:
    """All images that have references on their grid.

    Returns:
        the scans, the files that are left out, and the names that had to change.
    """
    by_subject: dict[tuple[str, str], list[ReferenceFile]] = defaultdict(list)
    for reference in references:
        by_subject[reference.subject, reference.session or SESSION].append(reference)
    scans: dict[tuple[str, str, str], FoundScan] = {}
    left_out: list[LeftOut] = []
    renamed: dict[str, str] = {}
    matched: set[Path] = set()
    grids = _Grids()
    for image in images:
        session = image.session or SESSION
        candidates = [
            reference
            for reference in by_subject[image.subject, session]
            if _may_belong(reference, image)
        ]
        scan = _scan(image, session, candidates, grids, renamed)
        if isinstance(scan, LeftOut):
            left_out.append(scan)
        elif scan.key in scans:
            first = scans[scan.key].image
            reason = f"a second {image.modality} of this subject and session, beside {first.name}"
            left_out.append(LeftOut(path=image.path, reason=reason))
        else:
            scans[scan.key] = scan
            matched |= {reference.path for reference in scan.references}
    for reference in references:
        if reference.path not in matched:
            reason = grids.problems.get(reference.path) or "no image of its subject has its grid"
            left_out.append(LeftOut(path=reference.path, reason=reason))
    return [scans[key] for key in sorted(scans)], left_out, renamed


def _may_belong(reference: ReferenceFile, image: ImageFile) -> bool:
    if reference.word is not None and image.word is not None and reference.word == image.word:
        return True
    return reference.modality in (None, image.modality)


class _Grids:
    """Grids of files, each read once; files without one are remembered."""

    def __init__(self) -> None:
        self._grids: dict[Path, Grid | None] = {}
        self.problems: dict[Path, str] = {}

    def of(self, path: Path) -> Grid | None:
        """The grid; None if the header cannot be read."""
        if path not in self._grids:
            try:
                self._grids[path] = read_grid(path)
            except VolumeError as error:
                self._grids[path] = None
                self.problems[path] = str(error)
        return self._grids[path]


def _scan(
    image: ImageFile,
    session: str,
    candidates: Iterable[ReferenceFile],
    grids: _Grids,
    renamed: dict[str, str],
) -> FoundScan | LeftOut:
    grid = grids.of(image.path)
    if grid is None:
        return LeftOut(path=image.path, reason=grids.problems[image.path])
    found: list[FoundReference] = []
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
        if len(labels) < len(reference.labels):
            mismatch = (
                f"two labels of {reference.path.name} get one name: {', '.join(reference.labels)}"
            )
            continue
        found.append(FoundReference(path=reference.path, labels=labels))
    if not found:
        return LeftOut(path=image.path, reason=mismatch)
    return FoundScan(
        subject=_named(image.subject, renamed),
        session=_named(session, renamed),
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
