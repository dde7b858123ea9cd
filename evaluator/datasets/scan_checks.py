"""Checks of one scan: headers, values of the image, contents of the references."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.load import scan_problem
from evaluator.errors import VolumeError
from evaluator.findings import Finding
from evaluator.imaging.geometry import displacement_note
from evaluator.imaging.target_masks import crop_targets
from evaluator.volumes import read_grid, read_image, read_labels
from evaluator.volumes.header_checks import check_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.findings import Severity, Topic
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Case, Modality, Scan

    Problem = tuple[Severity, Topic, Path, str]

#: values of a large image are judged by every n-th voxel, at least this many
ENOUGH_VALUES = 2_000_000
#: labels that are listed one by one
MAX_LABELS = 10


@dataclass(slots=True, kw_only=True)
class ScanCheck:
    """What was found in one scan."""

    findings: list[Finding] = field(default_factory=list)
    #: target -> its reference; without those of unreadable files
    masks: dict[str, GridMask] = field(default_factory=dict)


def check_scan(case: Case, modality: Modality) -> ScanCheck:
    """Check headers, values and labels of one scan; hashes are checked elsewhere."""
    check = ScanCheck()
    for severity, topic, path, message in _problems(case.scans[modality], check.masks):
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


def _problems(scan: Scan, masks: dict[str, GridMask]) -> Iterator[Problem]:
    """The problems of a scan; ``masks`` receives its references."""
    if problem := scan_problem(scan):
        yield "error", "files", scan.image, problem
        return
    for severity, message in check_header(scan.image):
        yield severity, "header", scan.image, message
    path = scan.image
    try:
        problems: list[Problem] = []
        image_grid = read_grid(path)
        for reference in scan.references:
            path = reference.path
            labels, grid = read_labels(path)
            if note := displacement_note(image_grid, grid):
                problems.append(("warning", "header", path, f"image and {path.name}: {note}"))
            masks.update(crop_targets(labels, grid, reference.labels))
            for severity, message in check_labels(path.name, labels, reference.labels):
                problems.append((severity, "labels", path, message))
        path = scan.image
        image, _ = read_image(path)
        for severity, message in check_values(image, scan.modality, masks):
            yield severity, "values", path, message
        yield from problems
    except VolumeError as error:
        yield "error", "files", path, str(error)


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
    if low < -0.1:
        guess = "; HU of a CT perhaps?" if low < -200 else ""
        return f"negative values ({low:g}) do not look like SUV{guess}"
    if middle > 20 or high > 1000 or high < 0.5:
        return f"median {middle:g} and maximum {high:g} do not look like SUV; Bq/ml perhaps?"
    return None


def _not_finite(finite: NDArray[np.bool_], masks: Mapping[str, GridMask]) -> tuple[Severity, str]:
    """NaN and infinite values: an error inside a reference, else a warning."""
    count = int(finite.size - np.count_nonzero(finite))
    message = f"the image contains NaN or infinite values ({count} voxels"
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
    present = {int(value) for value in np.unique(labels)}
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
