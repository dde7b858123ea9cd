"""Checks of references against the body: where organs lie, how large they are, and what is cut.

Directions are those of the world (RAS millimetres), so these checks find images and references that
lie in the world upside down or mirrored, and labels that were exchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.datasets.scan_summary import three_digits
from evaluator.manifests.organs import load_organs, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evaluator.datasets.scan_summary import TargetSummary
    from evaluator.findings import Severity

    Problem = tuple[Severity, str]

#: the first organ lies in this direction of the second
POSITIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "R": (
        ("liver", "spleen"), ("liver", "stomach"), ("liver", "heart"), ("liver", "kidney-left"),
        ("kidney-right", "spleen"), ("kidney-right", "stomach"),
    ),
    "S": (
        ("brain", "heart"), ("brain", "lung"), ("brain", "liver"), ("brain", "kidney-left"),
        ("brain", "kidney-right"), ("brain", "bladder"), ("heart", "kidney-left"),
        ("heart", "kidney-right"), ("heart", "bladder"), ("lung", "bladder"), ("liver", "bladder"),
        ("spleen", "bladder"), ("stomach", "bladder"), ("kidney-left", "bladder"),
        ("kidney-right", "bladder"), ("lung", "kidney-left"), ("lung", "kidney-right"),
        ("esophagus", "bladder"),
    ),
    "A": (
        ("heart", "esophagus"), ("stomach", "kidney-left"), ("liver", "kidney-right"),
        ("pancreas", "kidney-left"), ("bladder", "kidney-left"), ("bladder", "kidney-right"),
        ("stomach", "spleen"),
    ),
}  # fmt: skip
AXES = {"R": 0, "A": 1, "S": 2}
WORDS = {
    "R": ("to the right of", "to the left of", "left and right"),
    "A": ("in front of", "behind", "front and back"),
    "S": ("above", "below", "top and bottom"),
}
#: organs whose centres are closer along an axis say nothing about its direction, mm
CLEAR_MM = 10.0
#: a reference that is smaller than the reference woman's, or larger than the reference man's, by
#: more than this factor is unusual
VOLUME_FACTOR = 3.0
#: volumes of fewer voxels are too coarse to be judged
ENOUGH_VOXELS = 50


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two organs along one axis; negative: they lie the wrong way round."""

    first: str
    second: str
    distance_mm: float


def check_anatomy(targets: Mapping[str, TargetSummary]) -> Iterator[Problem]:
    """Findings about the place, the volume and the completeness of organs.

    Args:
        targets: name in the dataset -> reference in numbers.
    """
    yield from check_positions({name: entry.centre_mm for name, entry in targets.items()})
    for name, entry in targets.items():
        yield from _check_volume(name, entry)
    yield from _check_border(targets)


def check_positions(centres: Mapping[str, tuple[float, float, float]]) -> Iterator[Problem]:
    """Findings about organs that lie the wrong way round.

    Args:
        centres: name in the dataset -> centre, world mm.
    """
    organs = load_organs()
    named = {organs.find(name) or plain_name(name): name for name in centres}
    for direction, pairs in POSITIONS.items():
        axis = AXES[direction]
        compared = []
        for first, second in pairs:
            if first in named and second in named:
                distance = centres[named[first]][axis] - centres[named[second]][axis]
                compared.append(_Comparison(named[first], named[second], distance))
        sides = _sides(centres) if direction == "R" else []
        yield from _judge(direction, compared, sides)


def _sides(centres: Mapping[str, tuple[float, float, float]]) -> list[_Comparison]:
    """Targets whose names differ in "left" and "right" only."""
    plain = {plain_name(name): name for name in centres}
    compared = []
    for word, name in plain.items():
        if "right" not in word.split("-"):
            continue
        left = plain.get(re.sub(r"\bright\b", "left", word))
        if left is not None:
            compared.append(_Comparison(name, left, centres[name][0] - centres[left][0]))
    return compared


def _judge(
    direction: str, compared: list[_Comparison], sides: list[_Comparison]
) -> Iterator[Problem]:
    right_way, wrong_way, axis_words = WORDS[direction]
    clear = [entry for entry in compared if abs(entry.distance_mm) > CLEAR_MM]
    wrong = [entry for entry in clear if entry.distance_mm < 0]
    exchanged = [entry for entry in sides if entry.distance_mm < -CLEAR_MM]
    mirrored = len(wrong) >= 2 and 2 * len(wrong) > len(clear)
    if mirrored:
        first = wrong[0]
        message = (
            f"{axis_words} are exchanged: {first.first} lies {-first.distance_mm:.0f} mm "
            f"{wrong_way} {first.second}, and {len(wrong)} of {len(clear)} pairs of organs lie the "
            "wrong way round; the header's directions or the references are mirrored"
        )
        yield "error", message
        return
    for entry in exchanged:
        message = (
            f"{entry.first} lies {-entry.distance_mm:.0f} mm to the left of {entry.second}; their "
            "labels are exchanged, or the image is mirrored"
        )
        yield "error", message
    named = {name for entry in exchanged for name in (entry.first, entry.second)}
    for entry in wrong:
        if not named & {entry.first, entry.second}:
            message = (
                f"{entry.first} lies {-entry.distance_mm:.0f} mm {wrong_way} {entry.second}; it is "
                f"usually {right_way} it"
            )
            yield "warning", message


def _check_volume(name: str, entry: TargetSummary) -> Iterator[Problem]:
    organs = load_organs()
    usual = organs.volume_ml(name)
    if usual is None or entry.voxels < ENOUGH_VOXELS:
        return
    low, high = usual[0] / VOLUME_FACTOR, usual[1] * VOLUME_FACTOR
    too_small = entry.volume_ml < low and not entry.border
    if not too_small and entry.volume_ml <= high:
        return
    organ = organs.organs[organs.find(name) or name]
    message = (
        f"{name} has {three_digits(entry.volume_ml)} ml; adults have about {usual[0]:.0f} to "
        f"{usual[1]:.0f} ml ({organ.volume_source}). Is it another label, is it cut, or does the "
        "header state another voxel size?"
    )
    yield "warning", message


def _check_border(targets: Mapping[str, TargetSummary]) -> Iterator[Problem]:
    """One note for all references that touch the end of the image."""
    touching = [f"{name} ({entry.border})" for name, entry in targets.items() if entry.border]
    if touching:
        yield "note", f"references touch the end of the image and may be cut: {', '.join(touching)}"
