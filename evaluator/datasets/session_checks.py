"""Checks of a case: do its images share a world frame, and its references a place in it."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evaluator.errors import VolumeError
from evaluator.findings import Finding, Registration
from evaluator.imaging.geometry import affine_of, spacing, to_world
from evaluator.imaging.orthogonal_grids import fields_overlap
from evaluator.imaging.registration import mask_agreement
from evaluator.types import MODALITIES
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from evaluator.findings import Severity, Topic
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.imaging.registration import MaskAgreement
    from evaluator.types import Case, Modality
    from zoo_sdk.wire import Grid

    Masks = Mapping[Modality, Mapping[str, GridMask]]

#: references of one target whose centres are farther apart get a warning, mm; what rounding of the
#: references to voxels explains, three standard deviations, is added
REGISTRATION_WARNING_MM = 5.0
ROUNDING_DEVIATIONS = 3.0
#: references of one target whose volumes differ by a larger factor get a warning
VOLUME_RATIO_WARNING = 2.0
#: volumes of fewer voxels are too coarse to be compared
ENOUGH_VOXELS = 8


def register_targets(case: Case, masks: Masks) -> list[Registration]:
    """Where the references of each target lie, for each two images of a case.

    Args:
        case: the case.
        masks: modality -> target -> reference.
    """
    registrations: list[Registration] = []
    for first, second in combinations(_ordered(masks), 2):
        for target, mask in masks[first].items():
            other = masks[second].get(target)
            if other is None or mask.empty or other.empty:
                continue
            agreement = mask_agreement(mask, other)
            registrations.append(
                Registration(
                    case=case.id,
                    target=target,
                    first=first,
                    second=second,
                    distance_mm=round(agreement.distance_mm, 3),
                    limit_mm=round(_limit_mm(agreement), 3),
                    overlap=round(agreement.overlap, 4),
                    volume_ratio=round(agreement.volume_ratio, 4),
                )
            )
    return registrations


def _limit_mm(agreement: MaskAgreement) -> float:
    return REGISTRATION_WARNING_MM + ROUNDING_DEVIATIONS * agreement.rounding_mm


def is_disjoint(registration: Registration) -> bool:
    """True if a target's references have nothing in common and lie far apart.

    Small references that are a few millimetres apart may have nothing in common, too; they get a
    warning.
    """
    return registration.overlap == 0 and registration.distance_mm > registration.limit_mm


def check_session(
    case: Case, masks: Masks, registrations: Sequence[Registration]
) -> Iterator[Finding]:
    """Findings about the images of a case together.

    Args:
        case: the case.
        masks: modality -> target -> reference.
        registrations: of the case's targets.
    """
    far: set[tuple[str, str]] = set()
    problems = [*_frames(case, far)]
    problems += _places(masks, [entry for entry in registrations if _pair(entry) not in far])
    for severity, modality, topic, message in problems:
        yield Finding(
            severity=severity,
            case=case.id,
            modality=modality,
            path=str(case.scans[modality].image),
            message=message,
            topic=topic,
        )


def _pair(entry: Registration) -> tuple[str, str]:
    return entry.first, entry.second


def _frames(
    case: Case, far: set[tuple[str, str]]
) -> Iterator[tuple[Severity, Modality, Topic, str]]:
    """Findings about the fields of the images; ``far`` receives pairs without a common one."""
    grids: dict[Modality, Grid] = {}
    for modality, scan in case.scans.items():
        with suppress(VolumeError, OSError):  # reported with the scan
            grids[modality] = read_grid(scan.image)
    if {"CT", "PT"} <= grids.keys() and (message := _slice_mismatch(grids["CT"], grids["PT"])):
        yield "warning", "PT", "session", message
    for first, second in combinations(_ordered(grids), 2):
        if not fields_overlap(grids[first], grids[second]):
            far.add((first, second))
            message = (
                f"is far from the {first} image of the same case; not the same frame of reference"
            )
            yield "error", second, "registration", message
    if len(case.scans) == 1:
        message = "the only image of its case: no pair to compare"
        yield "note", next(iter(case.scans)), "session", message


def _places(
    masks: Masks, registrations: Sequence[Registration]
) -> Iterator[tuple[Severity, Modality, Topic, str]]:
    for entry in registrations:
        (second,) = (modality for modality in masks if modality == entry.second)
        place = f"{entry.target}: the references on {entry.first} and {entry.second}"
        apart = f"their centres are {entry.distance_mm:.1f} mm apart"
        overlap = f"{100 * entry.overlap:.0f} % of the smaller lies in the other"
        if is_disjoint(entry):
            message = f"{place} are disjoint: {apart}; the images are not registered"
            yield "error", second, "registration", message
        elif entry.distance_mm > entry.limit_mm:
            yield "warning", second, "registration", f"{place} do not agree: {apart}, {overlap}"
        elif _differ_in_volume(entry, masks):
            ratio = f"{entry.second} has {entry.volume_ratio:.2f} times the volume"
            yield "warning", second, "registration", f"{place} do not agree: {ratio}, {overlap}"


def _differ_in_volume(entry: Registration, masks: Masks) -> bool:
    counts = [
        of_scan[entry.target].voxel_count
        for modality, of_scan in masks.items()
        if modality in (entry.first, entry.second)
    ]
    ratio = max(entry.volume_ratio, 1 / entry.volume_ratio)
    return min(counts) >= ENOUGH_VOXELS and ratio > VOLUME_RATIO_WARNING


def _ordered(present: Container[Modality]) -> list[Modality]:
    return [modality for modality in MODALITIES if modality in present]


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
