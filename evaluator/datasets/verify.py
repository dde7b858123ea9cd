"""Check every file of a dataset for errors and implausible values."""

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
    """A problem of a scan.

    error: the scan cannot be used; warning: it should be inspected; note: for information.
    """

    severity: Severity
    case: str
    modality: str
    #: the file with the problem
    path: str
    message: str


def verify(dataset: Dataset) -> list[Finding]:
    """Check hashes, geometry, labels, units, duplicates and pairs, in the order of the cases."""
    findings: list[Finding] = []
    owners: dict[str, str] = {}
    for case in dataset.cases:
        for modality, scan in case.scans.items():
            for severity, path, message in _check_scan(scan, f"{case.id} {modality}", owners):
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
    scan: Scan, name: str, owners: dict[str, str]
) -> Iterator[tuple[Severity, Path, str]]:
    """The findings of one scan.

    Args:
        scan: the scan.
        name: case and modality, for messages.
        owners: sha256 of an image -> name of the first scan with it; updated.
    """
    files = [(scan.image, scan.sha256)]
    files += [(reference.path, reference.sha256) for reference in scan.references]
    for path, expected in files:
        if not path.is_file():
            continue
        actual = file_sha256(path)
        if path == scan.image and (owner := owners.setdefault(actual, name)) != name:
            yield "error", path, f"the image is the same file as the image of {owner}"
        if expected and actual != expected:
            yield "error", path, f"{path.name} differs from the file in the case list (sha256)"
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
    """Check if values are plausible for the unit (HU, SUV), and not constant."""
    image, _ = read_image(path)
    if not np.isfinite(image).all():
        yield "error", "the image contains NaN or infinite values"
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
        message = f"median {middle:g} and maximum {high:g} do not look like SUV; Bq/ml perhaps?"
        yield "warning", message
    elif modality == "MR" and low < 0:
        yield "note", f"negative values ({low:g}) in an MR image"


def _check_labels(
    path: Path, declared: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Severity, str]]:
    present = {int(value) for value in np.unique(read_labels(path)[0])}
    if min(present) < 0:
        yield "error", f"{path.name} contains negative labels"
    expected = set[int]().union(*declared.values())
    if not present & expected:
        yield "warning", f"{path.name} is empty: it contains none of its declared labels"
        return
    for name, values in declared.items():
        if not present & set(values):
            yield "note", f"{name} is empty in {path.name}"
    if unknown := sorted(present - expected - {0}):
        shown = ", ".join(map(str, unknown[:10])) + (" ..." if len(unknown) > 10 else "")
        yield "note", f"{path.name} contains labels that no target uses: {shown}"


def _check_pair(case: Case) -> list[Finding]:
    """Check if the images of a case share a world frame, and if PET and CT have equal length.

    Images share a frame only if their bounding boxes in the world overlap.
    """
    grids: dict[Modality, Grid] = {}
    for modality, scan in case.scans.items():
        with suppress(VolumeError, OSError):  # reported by _check_scan
            grids[modality] = read_grid(scan.image)
    problems: list[tuple[Severity, Modality, str]] = []
    if {"CT", "PT"} <= grids.keys() and (message := _slice_mismatch(grids["CT"], grids["PT"])):
        problems.append(("warning", "PT", message))
    for first, second in combinations(grids, 2):
        if not _overlap(grids[first], grids[second]):
            message = (
                f"is far from the {first} image of the same case; not the same frame of reference"
            )
            problems.append(("error", second, message))
    if len(case.scans) == 1:
        message = "the only image of its case: no pair to compare"
        problems.append(("note", next(iter(case.scans)), message))
    return [
        Finding(
            severity=severity,
            case=case.id,
            modality=modality,
            path=str(case.scans[modality].image),
            message=message,
        )
        for severity, modality, message in problems
    ]


def _overlap(a: Grid, b: Grid) -> bool:
    """True if the bounding boxes of two grids, along the world's axes, overlap."""
    low = np.maximum(corners_mm(a).min(axis=0), corners_mm(b).min(axis=0))
    high = np.minimum(corners_mm(a).max(axis=0), corners_mm(b).max(axis=0))
    return bool((low <= high).all())


def _slice_mismatch(ct: Grid, pet: Grid) -> str | None:
    """How PET and CT of one examination differ in extent; None if they do not.

    Compared only if they have slices of equal thickness and direction.
    """
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
        f"PET has {pet.shape[2]} slices of {step:.3g} mm and CT {ct.shape[2]}: PET begins "
        f"{below:+.1f} mm and ends {above:+.1f} mm inside the CT's field (negative: outside); "
        "regions in only one of the images cannot be compared"
    )
