"""Look at every file of a dataset and tell what is wrong with it, or odd about it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluator.datasets.load import scan_problem
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import affine_of, corners_mm, spacing, to_world
from evaluator.volumes import file_sha256, read_grid, read_image, read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evaluator.types import Case, Dataset, Modality, Scan
    from zoo_sdk.wire import Grid

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found. error: the scan cannot be used; warning: it should be looked at; note: worth knowing."""

    severity: Severity
    case: str
    modality: str
    #: of the file that it was found in
    path: str
    message: str


def verify(dataset: Dataset) -> list[Finding]:
    """Check files and hashes, geometry, labels, units, duplicates and pairs, in the order of the cases."""
    findings: list[Finding] = []
    first: dict[str, str] = {}
    for case in dataset.cases:
        for modality, scan in case.scans.items():
            for severity, path, message in _check_scan(scan, f"{case.id} {modality}", first):
                findings.append(
                    Finding(
                        severity=severity,
                        case=case.id,
                        modality=modality,
                        path=str(path),
                        message=message,
                    )
                )
        findings += _check_pair(case)
    return findings


def _check_scan(
    scan: Scan, who: str, first: dict[str, str]
) -> Iterator[tuple[Severity, Path, str]]:
    """One scan's findings; ``first`` remembers by sha256 who was the first to have each image."""
    files = [
        (scan.image, scan.sha256),
        *((reference.path, reference.sha256) for reference in scan.references),
    ]
    for path, wanted in files:
        if not path.is_file():
            continue
        found = file_sha256(path)
        if path == scan.image and (other := first.setdefault(found, who)) != who:
            yield "error", path, f"the image is the same file as {other}'s"
        if wanted and found != wanted:
            yield (
                "error",
                path,
                f"{path.name} is not the file that the case list was made of (sha256 differs)",
            )
    if problem := scan_problem(scan):
        yield "error", scan.image, problem
        return
    path = scan.image
    try:
        for severity, message in _check_image(path, scan.modality):
            yield severity, path, message
        for reference in scan.references:
            path = reference.path
            for severity, message in _check_labels(path, reference.labels):
                yield severity, path, message
    except VolumeError as error:
        yield "error", path, str(error)


def _check_image(path: Path, modality: Modality) -> Iterator[tuple[Severity, str]]:
    """Are the numbers those of the unit: HU, SUV, or anything that is not constant."""
    image, _ = read_image(path)
    if not np.isfinite(image).all():
        yield "error", "the image holds NaN or infinite values"
        return
    low, high = float(image.min()), float(image.max())
    middle = float(np.median(image))
    if low == high:
        yield "error", f"every voxel of the image is {low:g}"
    elif modality == "CT" and (low > -200 or low < -10000 or high > 40000):
        yield "warning", f"values from {low:g} to {high:g} do not look like HU: no air"
    elif modality == "PT" and low < -0.1:
        yield "warning", f"negative values ({low:g}) do not look like SUV"
    elif modality == "PT" and (middle > 20 or high > 1000 or high < 0.5):
        yield (
            "warning",
            f"median {middle:g} and maximum {high:g} do not look like SUV; Bq/ml perhaps?",
        )
    elif modality == "MR" and low < 0:
        yield "note", f"negative values ({low:g}) in an MR image"


def _check_labels(
    path: Path, declared: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Severity, str]]:
    present = {int(value) for value in np.unique(read_labels(path)[0])}
    if min(present) < 0:
        yield "error", f"{path.name} holds negative labels"
    wanted = {value for values in declared.values() for value in values}
    if not present & wanted:
        yield "warning", f"{path.name} is empty: it holds none of its declared labels"
        return
    for name, values in declared.items():
        if not present & set(values):
            yield "note", f"{name} is empty in {path.name}"
    if unknown := sorted(present - wanted - {0}):
        shown = ", ".join(map(str, unknown[:10])) + (" ..." if len(unknown) > 10 else "")
        yield "note", f"{path.name} holds labels that no target uses: {shown}"


def _check_pair(case: Case) -> list[Finding]:
    """Do the images of a case lie in one world: their boxes must meet; and are PET and CT of one length."""
    grids: dict[Modality, Grid] = {}
    for modality, scan in case.scans.items():
        with suppress(VolumeError, OSError):  # told by _check_scan
            grids[modality] = read_grid(scan.image)
    told: list[tuple[Severity, Modality, str]] = []
    if {"CT", "PT"} <= grids.keys() and (apart := _slices_apart(grids["CT"], grids["PT"])):
        told.append(("warning", "PT", apart))
    for one, other in combinations(grids, 2):
        if not _meet(grids[one], grids[other]):
            message = f"lies nowhere near the {one} image of the same case; not the same frame of reference"
            told.append(("error", other, message))
    if len(case.scans) == 1:
        told.append(("note", next(iter(case.scans)), "the only image of its case: nothing to pair"))
    return [
        Finding(
            severity=severity,
            case=case.id,
            modality=who,
            path=str(case.scans[who].image),
            message=message,
        )
        for severity, who, message in told
    ]


def _meet(a: Grid, b: Grid) -> bool:
    """Have the boxes about two grids, along the world's axes, a place in common."""
    low = np.maximum(corners_mm(a).min(axis=0), corners_mm(b).min(axis=0))
    high = np.minimum(corners_mm(a).max(axis=0), corners_mm(b).max(axis=0))
    return bool((low <= high).all())


def _slices_apart(ct: Grid, pet: Grid) -> str | None:
    """PET and CT of one examination with slices of one thickness should be cut alike; in what they are not."""
    a, b = affine_of(ct), affine_of(pet)
    step = spacing(a)[2]
    along = a[:3, 2] / step
    if abs(spacing(b)[2] / step - 1) > 0.01 or abs(along @ b[:3, 2]) / spacing(b)[2] < 0.999:
        return None
    ends = [
        sorted(along @ to_world(affine, np.array([[0, 0, 0], [0, 0, n - 1]])).T)
        for affine, n in ((a, ct.shape[2]), (b, pet.shape[2]))
    ]
    below, above = ends[1][0] - ends[0][0], ends[0][1] - ends[1][1]
    if max(abs(below), abs(above)) < step / 2:
        return None
    return (
        f"PET has {pet.shape[2]} slices of {step:.3g} mm and CT {ct.shape[2]}: PET begins {below:+.1f} mm and ends {above:+.1f} mm "
        "inside the CT's field (negative: outside); what lies in one image alone cannot be compared"
    )
