"""Checks of one scan: headers, values of the image, contents of the references."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.anatomy_checks import check_anatomy
from evaluator.datasets.load import scan_problem
from evaluator.datasets.scan_summary import (
    ScanSummary,
    content_hash,
    percentiles,
    reference_hash,
    summarise_targets,
)
from evaluator.datasets.unit_checks import check_turned, check_units
from evaluator.errors import VolumeError
from evaluator.findings import Finding
from evaluator.imaging.body_masks import find_body
from evaluator.imaging.geometry import affine_of, displacement_note, orientation, spacing
from evaluator.imaging.target_masks import crop_targets
from evaluator.plain_text import counted
from evaluator.volumes import read_grid, read_image, read_labels
from evaluator.volumes.header_checks import check_header
from evaluator.volumes.storage_checks import check_limits, check_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.findings import Depth, Severity, Topic
    from evaluator.imaging.body_masks import Body
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Case, Modality, Scan
    from zoo_sdk.wire import Grid

    Problem = tuple[Severity, Topic, Path, str]

#: values of a large image are judged by every n-th voxel, at least this many
ENOUGH_VALUES = 2_000_000
#: larger values are not those of a CT, but for metal
HIGHEST_HU = 4096
#: labels that are listed one by one
MAX_LABELS = 10


@dataclass(slots=True, kw_only=True)
class ScanCheck:
    """What was found in one scan."""

    findings: list[Finding] = field(default_factory=list)
    #: target -> its reference; without those of unreadable files
    masks: dict[str, GridMask] = field(default_factory=dict)
    #: the scan in numbers, and its body; only of a full check of readable files
    summary: ScanSummary | None = None
    body: Body | None = None


def check_scan(case: Case, modality: Modality, depth: Depth = "quick") -> ScanCheck:
    """Check headers, values, labels and anatomy of one scan; hashes are checked elsewhere."""
    check = ScanCheck()
    for severity, topic, path, message in _problems(case, modality, check, depth):
        check.findings.append(
            Finding(
                severity=severity,
                case=case.id,
                modality=modality,
                path=str(path),
                message=message,
                topic=topic,
            )
        )
    return check


def _problems(case: Case, modality: Modality, check: ScanCheck, depth: Depth) -> Iterator[Problem]:
    """The problems of a scan; ``check`` receives its references, summary and body."""
    scan = case.scans[modality]
    if problem := scan_problem(scan):
        yield "error", "files", scan.image, problem
        return
    for severity, message in check_header(scan.image):
        yield severity, "header", scan.image, message
    if depth == "full":
        yield from _storage(scan)
    if depth == "headers":
        return
    path = scan.image
    try:
        problems: list[Problem] = []
        image_grid = read_grid(path)
        for reference in scan.references:
            path = reference.path
            labels, grid = read_labels(path)
            if note := displacement_note(image_grid, grid):
                problems.append(("warning", "header", path, f"image and {path.name}: {note}"))
            check.masks.update(crop_targets(labels, grid, reference.labels))
            for severity, message in check_labels(path.name, labels, reference.labels):
                problems.append((severity, "labels", path, message))
        path = scan.image
        image, grid = read_image(path)
        values = list(check_values(image, scan.modality, check.masks))
        for severity, message in values:
            yield severity, "values", path, message
        yield from problems
        if depth == "full":
            yield from _full(case, scan, image, grid, check, judged=bool(values))
    except VolumeError as error:
        yield "error", "files", path, str(error)


def _storage(scan: Scan) -> Iterator[Problem]:
    for severity, message in check_storage(scan.image, labels=False):
        yield severity, "header", scan.image, message
    for reference in scan.references:
        for severity, message in check_storage(reference.path, labels=True):
            yield severity, "header", reference.path, message


def _full(
    case: Case,
    scan: Scan,
    image: NDArray[np.float32],
    grid: Grid,
    check: ScanCheck,
    *,
    judged: bool,
) -> Iterator[Problem]:
    """The problems that only a full check finds; ``judged``: the unit was found implausible."""
    image_hash = content_hash(image, grid)
    if not np.isfinite(image).all():
        image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    check.body = find_body(image, grid, "HU" if scan.modality == "CT" else "relative")
    targets = summarise_targets(image, check.masks)
    check.summary = ScanSummary(
        case=case.id,
        modality=scan.modality,
        shape=grid.shape,
        spacing_mm=tuple(round(size, 4) for size in spacing(affine_of(grid))),
        orientation=orientation(affine_of(grid)),
        values=percentiles(image),
        low=float(image.min()),
        high=float(image.max()),
        image_hash=image_hash,
        reference_hash=reference_hash(check.masks),
        body_ml=round(check.body.volume_ml, 1) if check.body else None,
        body_mean=round(check.body.mean, 4) if check.body else None,
        targets=targets,
    )
    if not judged:
        for severity, message in check_units(scan.modality, targets, check.body):
            yield severity, "values", scan.image, message
    for severity, message in check_limits(image, scan.modality):
        yield severity, "values", scan.image, message
    for severity, message in check_turned(image, check.masks):
        yield severity, "anatomy", scan.references[0].path, message
    for severity, message in check_anatomy(targets):
        yield severity, "anatomy", scan.references[0].path, message


def check_values(
    image: NDArray[np.float32], modality: Modality, masks: Mapping[str, GridMask]
) -> Iterator[tuple[Severity, str]]:
    """Check if values are plausible for the unit (HU, SUV), finite, and not constant.

    Args:
        image: (i, j, k), in the unit of the scan.
        modality: of the image.
        masks: references on the image's grid; values inside of them must be finite.
    """
    finite = np.isfinite(image)
    if not finite.all():
        yield _not_finite(finite, masks)
        image = image[finite]
        if not image.size:
            return
    low, high = float(image.min()), float(image.max())
    if low == high:
        yield "error", f"every voxel of the image is {low:g}"
    elif modality == "MR" and low < 0:
        yield "note", f"negative values ({low:g}) in an MR image"
    elif modality == "CT" and (low > -200 or low < -10000 or high > 40000):
        yield "warning", f"values from {low:g} to {high:g} do not look like HU: no air"
    elif modality == "PT" and (message := implausible_uptake(image)):
        yield "warning", message


def implausible_uptake(image: NDArray[np.float32]) -> str | None:
    """Why values of a PET image do not look like SUV; None if they do.

    Args:
        image: any shape, finite.
    """
    values = image.ravel(order="K")
    values = values[:: max(values.size // ENOUGH_VALUES, 1)]
    low, high, middle = float(image.min()), float(image.max()), float(np.median(values))
    if low < -0.1 and high > HIGHEST_HU and -low < high / 10:
        return f"values from {low:.4g} to {high:.4g} do not look like SUV; Bq/ml perhaps?"
    if low < -0.1:
        guess = "; HU of a CT perhaps?" if low < -200 else ""
        return f"negative values ({low:g}) do not look like SUV{guess}"
    if middle > 20 or high > 1000 or high < 0.5:
        return f"median {middle:g} and maximum {high:g} do not look like SUV; Bq/ml perhaps?"
    return None


def _not_finite(finite: NDArray[np.bool_], masks: Mapping[str, GridMask]) -> tuple[Severity, str]:
    """NaN and infinite values: an error inside a reference, else a warning."""
    count = int(finite.size - np.count_nonzero(finite))
    message = f"the image contains NaN or infinite values ({counted(count, 'voxel')}"
    for target, mask in masks.items():
        crop = finite[tuple(slice(a, b) for a, b in zip(mask.offset, mask.end, strict=True))]
        if not mask.empty and not crop[mask.array].all():
            inside = int(np.count_nonzero(~crop & mask.array))
            return "error", f"{message}, {inside} of them in {target})"
    if not finite.any():
        return "error", f"{message}, all of the image)"
    return "warning", f"{message}, none in a reference)"


def check_labels(
    name: str, labels: NDArray[np.integer], declared: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Severity, str]]:
    """Check that a reference holds the labels that the case list declares.

    Args:
        name: of the file, for messages.
        labels: (i, j, k).
        declared: target -> label values.
    """
    present = {int(value) for value in np.unique(labels.ravel(order="K"))}
    if min(present) < 0:
        yield "error", f"{name} contains negative labels"
    expected = set[int]().union(*declared.values())
    unknown = sorted(present - expected - {0})
    if not present & expected:
        yield _without_declared(name, unknown, declared)
        return
    for target, values in declared.items():
        if not present & set(values):
            yield "note", f"{target} is empty in {name}"
    for first, second in combinations(declared, 2):
        if set(declared[first]) == set(declared[second]):
            yield "warning", f"{first} and {second} have the same labels in {name}"
    if unknown:
        yield "note", f"{name} contains labels that no target uses: {_listed(unknown)}"


def _without_declared(
    name: str, present: list[int], declared: Mapping[str, tuple[int, ...]]
) -> tuple[Severity, str]:
    """A reference in which no declared label was found; ``present`` are its labels but 0.

    A mask with one other label is declared under a wrong number. A map of several labels may lack
    the declared ones because the subject lacks them.
    """
    if not present:
        return "warning", f"{name} is empty: it contains none of its declared labels"
    values = _listed(sorted(set[int]().union(*declared.values())))
    message = f"{name} holds {_listed(present)}, none of the declared {values}"
    if len(present) == 1 and len(declared) == 1:
        (target,) = declared
        return "error", f"{message}; write {target}={present[0]} in the column labels"
    severity: Severity = "error" if len(present) == 1 else "warning"
    return severity, f"{message}; correct the column labels unless the subject has none of them"


def _listed(values: list[int]) -> str:
    more = " ..." if len(values) > MAX_LABELS else ""
    return ", ".join(map(str, values[:MAX_LABELS])) + more
