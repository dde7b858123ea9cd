"""From the slices of a series to volumes: order, spacing, repeats and gaps, by headers alone.

Positions are in millimetres of the patient (LPS). A stack of slices becomes a volume only if every
voxel lies within the tolerance of one grid; everything else is a sentence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.dicom.headers import CONTENT_KEYS, TIME_KEYS
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import GRID_TOLERANCE_MM, make_grid, shear_degrees
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from evaluator.datasets.dicom.headers import Header
    from zoo_sdk.wire import Grid

#: two slices closer than this are at one position, millimetres
SAME_POSITION_MM = 0.01
FEWEST_SLICES = 3
#: a tilt below this is rounding, degrees
LEAST_TILT = 0.05
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices in order, and their grid in RAS."""

    headers: tuple[Header, ...]
    grid: Grid
    #: what a user should know
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Files that became no volume, and why."""

    headers: tuple[Header, ...]
    reason: str


def stack_slices(
    headers: Sequence[Header],
    identical: Callable[[Sequence[Header]], bool] = lambda _headers: False,
) -> tuple[list[Stack], list[Refused]]:
    """The volumes of one series.

    Args:
        headers: all images or frames of the series.
        identical: whether images have the same voxels; asked for images at one position.

    Returns:
        the volumes, and what was refused. Every header is in exactly one of them, but for copies
        of one object, of which the first is used.
    """
    refused: list[Refused] = []
    usable = []
    for header in _without_copies(headers):
        if reason := _lacks(header):
            refused.append(Refused(headers=(header,), reason=reason))
        else:
            usable.append(header)
    groups: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for header in usable:
        groups[_plane(header)].append(header)
    stacks: list[Stack] = []
    mixed = len(groups) > 1
    for group in groups.values():
        parts = _separate(group, identical)
        if isinstance(parts, Refused):
            refused.append(parts)
            continue
        for part in parts:
            stack = _stack(part)
            if isinstance(stack, Stack):
                stacks.append(stack)
                continue
            note = "orientations, sizes or frames of reference are mixed; " if mixed else ""
            refused.append(Refused(headers=stack.headers, reason=note + stack.reason))
    return stacks, _joined(refused)


def _without_copies(headers: Sequence[Header]) -> list[Header]:
    first: dict[str, Header] = {}
    for header in headers:
        first.setdefault(f"{header.instance or header.path} {header.number}", header)
    return list(first.values())


def _lacks(header: Header) -> str:
    if "LOCALIZER" in header.image_type:
        return "a localizer"
    if header.frames > 1:
        return "several frames without geometry for each; an enhanced object has it"
    for value, name in (
        (header.position, "Image Position (Patient) (0020,0032)"),
        (header.orientation, "Image Orientation (Patient) (0020,0037)"),
        (header.spacing, "Pixel Spacing (0028,0030)"),
        (header.rows, "Rows (0028,0010)"),
        (header.columns, "Columns (0028,0011)"),
    ):
        if not value:
            return f"{name} is missing"
    assert header.orientation is not None
    assert header.spacing is not None
    row, column = np.array(header.orientation[:3]), np.array(header.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > 0.01 or abs(row @ column) > 0.01:
        return "Image Orientation (Patient) (0020,0037) holds no two directions at right angles"
    if min(header.spacing) <= 0:
        return "Pixel Spacing (0028,0030) is not positive"
    return ""


def _plane(header: Header) -> tuple[object, ...]:
    """What the slices of one volume share."""
    assert header.orientation is not None
    assert header.spacing is not None
    directions = tuple(round(value, 2) + 0.0 for value in header.orientation)
    widths = tuple(round(value, 4) for value in header.spacing)
    return (header.frame, header.rows, header.columns, directions, widths)


def normal_of(header: Header) -> NDArray[np.float64]:
    """The direction from one slice to the next."""
    assert header.orientation is not None
    normal = np.cross(header.orientation[:3], header.orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def _separate(
    headers: list[Header], identical: Callable[[Sequence[Header]], bool]
) -> list[list[Header]] | Refused:
    """Divide slices into parts that have each position once.

    Content divides them. Images that differ in time are refused.
    """
    positions = _positions(headers)
    most = max(len(group) for group in positions)
    if most == 1:
        return [headers]
    for keys in (("image_type",), *((key,) for key in CONTENT_KEYS), ("image_type", *CONTENT_KEYS)):
        parts = _divided(headers, keys)
        if len(parts) > 1 and all(len(group) == 1 for part in parts for group in _positions(part)):
            return parts
    if all(len(group) == 1 or identical(group) for group in positions):
        return [[group[0] for group in positions]]
    for key in TIME_KEYS:
        values = [{header.keys.get(key) for header in group} for group in positions]
        if all(len(seen) == len(group) for seen, group in zip(values, positions, strict=True)):
            reason = (
                f"up to {most} images at one position, told apart by {key}: dynamic or gated; "
                "export the static image of the scanner"
            )
            return Refused(headers=tuple(headers), reason=reason)
    repeated = sum(len(group) > 1 for group in positions)
    words = counted(repeated, "position has", "positions have")
    reason = f"{words} several different images that no element tells apart"
    return Refused(headers=tuple(headers), reason=reason)


def _divided(headers: Sequence[Header], keys: Sequence[str]) -> list[list[Header]]:
    parts: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for header in headers:
        values: list[object] = []
        for key in keys:
            is_type = key == "image_type"
            values.append(header.image_type if is_type else header.keys.get(key))
        parts[tuple(values)].append(header)
    return list(parts.values())


def _positions(headers: Sequence[Header]) -> list[list[Header]]:
    """The slices by their position along the normal, in order."""
    normal = normal_of(headers[0])
    ordered = sorted(headers, key=lambda header: float(normal @ np.array(header.position)))
    groups: list[list[Header]] = []
    last = float("-inf")
    for header in ordered:
        height = float(normal @ np.array(header.position))
        if height - last > SAME_POSITION_MM:
            groups.append([header])
            last = height
        else:
            groups[-1].append(header)
    return groups


def _stack(headers: Sequence[Header]) -> Stack | Refused:
    ordered = tuple(group[0] for group in _positions(headers))
    if len(ordered) < FEWEST_SLICES:
        words = counted(len(ordered), "slice is", "slices are")
        return Refused(headers=ordered, reason=f"{words} no volume")
    places = np.array([header.position for header in ordered])
    if reason := _irregular(places, normal_of(ordered[0])):
        return Refused(headers=ordered, reason=reason)
    first = ordered[0]
    assert first.orientation is not None
    assert first.spacing is not None
    step = (places[-1] - places[0]) / (len(ordered) - 1)
    try:
        grid = slice_grid(
            (first.columns, first.rows, len(ordered)),
            first.orientation,
            first.spacing,
            places[0],
            step,
        )
    except VolumeError:
        return Refused(headers=ordered, reason="positions and directions describe no grid")
    tilt = shear_degrees(np.array(grid.affine))
    notes: tuple[str, ...] = ()
    if tilt > LEAST_TILT:
        notes = (f"the gantry is tilted by {tilt:.1f} degrees; the grid is kept as it is, sheared",)
    return Stack(headers=ordered, grid=grid, notes=notes)


def slice_grid(
    shape: Sequence[int],
    orientation: Sequence[float],
    spacing: Sequence[float],
    origin: NDArray[np.float64],
    step: NDArray[np.float64],
) -> Grid:
    """The RAS grid of slices in LPS.

    Args:
        shape: columns, rows, slices.
        orientation: directions of a row and of a column, LPS.
        spacing: between rows, between columns, millimetres.
        origin: centre of the first voxel, LPS.
        step: from one slice to the next, LPS.

    Raises:
        VolumeError: they describe no grid.
    """
    affine = np.eye(4)
    affine[:3, 0] = np.array(orientation[:3]) * spacing[1]
    affine[:3, 1] = np.array(orientation[3:]) * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    return make_grid(shape, LPS_TO_RAS @ affine)


def _irregular(places: NDArray[np.float64], normal: NDArray[np.float64]) -> str:
    """Why positions are not evenly spaced on a line; empty if they are."""
    count = len(places)
    heights = places @ normal
    steps = np.diff(heights)
    typical = float(np.median(steps))
    holes = [round(step / typical) - 1 for step in steps]
    if any(holes) and all(
        abs(step - (hole + 1) * typical) <= 0.1 * typical
        for step, hole in zip(steps, holes, strict=True)
    ):
        words = counted(sum(holes), "slice is", "slices are")
        return f"{words} missing between the first and the last"
    ideal = places[0] + np.arange(count)[:, None] * (places[-1] - places[0]) / (count - 1)
    distance = float(np.linalg.norm(places - ideal, axis=1).max())
    if distance <= min(GRID_TOLERANCE_MM, 0.25 * typical):
        return ""
    if max(abs(b - a) for a, b in pairwise(steps)) > 0.02 * typical:
        return f"slices are unevenly spaced, {steps.min():.4g} to {steps.max():.4g} mm"
    return f"slices lie up to {distance:.3g} mm off a straight line"


def _joined(refused: Sequence[Refused]) -> list[Refused]:
    """One entry for each reason."""
    by_reason: dict[str, list[Header]] = defaultdict(list)
    for entry in refused:
        by_reason[entry.reason] += entry.headers
    return [Refused(headers=tuple(headers), reason=reason) for reason, headers in by_reason.items()]
