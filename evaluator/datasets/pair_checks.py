"""What the images of a case have in common: fields of view, bodies, and places of references."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING

from evaluator.datasets.scan_summary import PairSummary
from evaluator.errors import VolumeError
from evaluator.findings import Finding
from evaluator.imaging.body_masks import body_shift_mm
from evaluator.imaging.field_overlap import shared_field
from evaluator.types import MODALITIES
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evaluator.findings import Registration, Topic
    from evaluator.imaging.body_masks import Body
    from evaluator.types import Case, Modality
    from zoo_sdk.wire import Grid

#: bodies whose centres lie farther apart get a warning, mm; masks by thresholds differ by less
BODY_SHIFT_WARNING_MM = 20.0
#: pairs with less in common get a warning, part of the smaller field
FIELD_WARNING = 0.5


def summarise_pairs(
    case: Case, bodies: Mapping[Modality, Body], registrations: Sequence[Registration]
) -> list[PairSummary]:
    """What each two images of a case have in common; without images that cannot be read.

    Args:
        case: the case.
        bodies: modality -> body in its image; may lack modalities.
        registrations: of the case's targets.
    """
    grids: dict[Modality, Grid] = {}
    for modality in MODALITIES:
        if modality in case.scans:
            with suppress(VolumeError, OSError):  # reported with the scan
                grids[modality] = read_grid(case.scans[modality].image)
    pairs = []
    for first, second in combinations(grids, 2):
        shift = None
        if first in bodies and second in bodies:
            shift = body_shift_mm(bodies[first], bodies[second])
        of_pair = [
            entry for entry in registrations if (entry.first, entry.second) == (first, second)
        ]
        farthest = max(of_pair, key=lambda entry: entry.distance_mm, default=None)
        pairs.append(
            PairSummary(
                case=case.id,
                first=first,
                second=second,
                field_overlap=round(shared_field(grids[first], grids[second]), 3),
                body_shift_mm=None if shift is None else round(shift, 1),
                farthest_target=farthest.target if farthest else "",
                farthest_mm=farthest.distance_mm if farthest else None,
            )
        )
    return pairs


def check_pairs(case: Case, pairs: Sequence[PairSummary]) -> Iterator[Finding]:
    """Findings about fields of view and bodies; images are never moved."""
    for pair in pairs:
        shift = pair.body_shift_mm
        if 0 < pair.field_overlap < FIELD_WARNING:
            part = f"only {100 * pair.field_overlap:.0f} % of the smaller field of view"
            yield _finding(case, pair, f"shares {part} with the {pair.first} image", "session")
        if shift is not None and shift > BODY_SHIFT_WARNING_MM:
            message = (
                f"the centre of the body lies {shift:.0f} mm from that of the {pair.first} image, "
                "in the field that both show; are they registered?"
            )
            yield _finding(case, pair, message, "registration")


def _finding(case: Case, pair: PairSummary, message: str, topic: Topic) -> Finding:
    return Finding(
        severity="warning",
        case=case.id,
        modality=pair.second,
        path=str(case.scans[pair.second].image),
        message=message,
        topic=topic,
    )
