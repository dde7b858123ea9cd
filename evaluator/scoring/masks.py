"""Scores of predicted masks against a scan's references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.datasets.references import LoadedReferences
from evaluator.imaging.geometry import affine_of, spacing
from evaluator.imaging.grid_masks import common_region
from evaluator.manifests.organs import load_organs
from evaluator.metrics import PEAK_MM, measure, without_value
from evaluator.metrics import score as score_measures
from evaluator.scoring.applicability import parts_for
from evaluator.types import Failure, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.metrics import Measures, Part
    from evaluator.types import Protocol, Scan


def score_masks(
    references: LoadedReferences, predictions: Mapping[str, GridMask | Failure], protocol: Protocol
) -> dict[str, tuple[Score, ...]]:
    """The protocol's scores of one round: of each prediction on the references' grid, or the failure's status."""
    scores = score_failures(
        {name: given for name, given in predictions.items() if isinstance(given, Failure)},
        protocol,
        references.scan,
    )
    for target, tolerance in tolerances(protocol, predictions).items():
        given = predictions[target]
        if not isinstance(given, Failure):
            parts = parts_for(protocol.metrics, target, references.scan.unit)
            measures = _measure(references, references.masks[target], given, tolerance, parts)
            scores[target] = score_measures(measures, protocol.metrics)
    return scores


def _measure(
    references: LoadedReferences,
    reference: GridMask,
    given: GridMask,
    tolerance_mm: float,
    parts: frozenset[Part],
) -> Measures:
    """Measure in the box about both masks, beyond which is nothing of either, so that the scores are the whole grid's."""
    low, high = common_region(reference, given)
    step, image = spacing(affine_of(references.grid)), None
    if "uptake" in parts:
        assert references.image is not None
        # what a peak's sphere holds of the image lies about the box
        reach = [int(PEAK_MM / length) for length in step]
        a, b, c = (max(0, l - r) for l, r in zip(low, reach, strict=True))
        d, e, f = (
            min(n, h + r) for n, h, r in zip(references.grid.shape, high, reach, strict=True)
        )
        low, high = (a, b, c), (d, e, f)
        image = references.image[a:d, b:e, c:f]
    one, other = reference.crop(low, high), given.crop(low, high)
    return measure(one, other, step, tolerance_mm, parts=parts, image=image)


def tolerances(protocol: Protocol, targets: Mapping[str, object]) -> dict[str, float]:
    """The NSD tolerance of each target in millimetres: the protocol's one, or the organ's own."""
    organs = load_organs()
    return {target: protocol.nsd_tolerance_mm or organs.tolerance_mm(target) for target in targets}


def score_failures(
    predictions: Mapping[str, Any], protocol: Protocol, scan: Scan
) -> dict[str, tuple[Score, ...]]:
    """The scores of failed predictions alone, which need no reference."""
    return {
        target: _without_value(protocol, scan, target, failure.status)
        for target, failure in predictions.items()
    }


def _without_value(protocol: Protocol, scan: Scan, target: str, status: str) -> tuple[Score, ...]:
    return without_value(protocol.metrics, status, parts_for(protocol.metrics, target, scan.unit))
