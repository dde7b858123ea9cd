"""The metrics: one table of what each is called, means and comes from, and the function that makes its number."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

from evaluator.types import Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evaluator.metrics.measures import Measures

DEEPMIND = "Nikolov et al., arXiv 1809.04430; github.com/google-deepmind/surface-distance"
RELOADED = "Maier-Hein et al., Metrics Reloaded, arXiv 2206.01653"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row of ``METRICS``."""

    name: str
    title: str
    #: "" for a pure number
    unit: str
    #: which numbers are better; of a signed metric, which magnitudes
    direction: Literal["higher", "lower"]
    #: what a failed prediction counts as; infinite: ranked last, and a protocol's declared cap in means
    worst: float
    definition: str
    source: str
    #: never called where both masks are empty; None where one is, and the metric has no number for that
    function: Callable[[Measures], float | None]
    #: zero is perfect, and the sign says which way it is off
    signed: bool = False


def score(measures: Measures, names: Sequence[str]) -> tuple[Score, ...]:
    """The scores of these metrics, names of ``METRICS``, in their order: a finite value, or a status that says why not.

    Both masks empty: every metric is ``undefined``. One empty: overlaps are 0 and distances are ``one-empty``.
    """
    return tuple(_score(METRICS[name], measures) for name in names)


def _score(metric: Metric, measures: Measures) -> Score:
    if measures.both_empty:
        return Score(metric=metric.name, value=None, status=ScoreStatus.UNDEFINED)
    value = metric.function(measures)
    status = ScoreStatus.ONE_EMPTY if value is None else ScoreStatus.OK
    return Score(metric=metric.name, value=value, status=status)


def dice(measures: Measures) -> float:
    """Twice the shared voxels by the voxels of both."""
    return 2 * measures.shared_voxels / (measures.reference_voxels + measures.prediction_voxels)


def iou(measures: Measures) -> float:
    """The shared voxels by the voxels that are in either."""
    shared = measures.shared_voxels
    return shared / (measures.reference_voxels + measures.prediction_voxels - shared)


def nsd(measures: Measures) -> float:
    """The area within tolerance by all area, of both surfaces; 0 where one is absent."""
    reference, prediction = measures.reference, measures.prediction
    return (reference.area_within + prediction.area_within) / (reference.area + prediction.area)


def hd(measures: Measures) -> float | None:
    """The larger of the two surfaces' farthest distances."""
    return None if measures.one_empty else max(measures.reference.farthest, measures.prediction.farthest)


def hd95(measures: Measures) -> float | None:
    """The larger of the two surfaces' 95th percentiles of distance."""
    return None if measures.one_empty else max(measures.reference.percentile_95, measures.prediction.percentile_95)


def assd(measures: Measures) -> float | None:
    """The mean distance over the area of both surfaces."""
    reference, prediction = measures.reference, measures.prediction
    if measures.one_empty:
        return None
    return (reference.moment + prediction.moment) / (reference.area + prediction.area)


def masd(measures: Measures) -> float | None:
    """The mean of the two surfaces' mean distances."""
    return None if measures.one_empty else (measures.reference.mean + measures.prediction.mean) / 2


def rve(measures: Measures) -> float | None:
    """The volume's excess by the reference's volume; no number without a reference."""
    if not measures.reference_voxels:
        return None
    return (measures.prediction_voxels - measures.reference_voxels) / measures.reference_voxels


def volume_error(measures: Measures) -> float:
    """The volume's excess, ml."""
    return (measures.prediction_voxels - measures.reference_voxels) * measures.voxel_ml


METRICS: dict[str, Metric] = {
    "dice": Metric(
        name="dice", title="Dice", unit="", direction="higher", worst=0.0, function=dice, source=RELOADED,
        definition="twice the voxels in both masks, divided by the sum of the masks' voxels",
    ),
    "iou": Metric(
        name="iou", title="IoU", unit="", direction="higher", worst=0.0, function=iou, source=RELOADED,
        definition="voxels in both masks, divided by voxels in either (Jaccard)",
    ),
    "nsd": Metric(
        name="nsd", title="NSD", unit="", direction="higher", worst=0.0, function=nsd, source=DEEPMIND,
        definition="area of both surfaces within the tolerance of the other, divided by their area (surface Dice)",
    ),
    "hd": Metric(
        name="hd", title="HD", unit="mm", direction="lower", worst=inf, function=hd, source=DEEPMIND,
        definition="largest distance from either surface to the other (Hausdorff)",
    ),
    "hd95": Metric(
        name="hd95", title="HD95", unit="mm", direction="lower", worst=inf, function=hd95, source=DEEPMIND,
        definition="larger of the two directed area-weighted 95th percentiles of surface distance",
    ),
    "assd": Metric(
        name="assd", title="ASSD", unit="mm", direction="lower", worst=inf, function=assd, source=RELOADED,
        definition="mean surface distance over the area of both surfaces, pooled",
    ),
    "masd": Metric(
        name="masd", title="MASD", unit="mm", direction="lower", worst=inf, function=masd, source=RELOADED,
        definition="mean of the two directed area-weighted mean surface distances",
    ),
    "rve": Metric(
        name="rve", title="RVE", unit="", direction="lower", worst=-1.0, function=rve, source=RELOADED, signed=True,
        definition="predicted minus reference volume, divided by reference volume; -1 for an empty prediction",
    ),
    "volume_error_ml": Metric(
        name="volume_error_ml", title="Volume error", unit="ml", direction="lower", worst=inf, function=volume_error,
        source=RELOADED, signed=True, definition="predicted minus reference volume",
    ),
}  # fmt: skip
"""Every metric that a protocol may name."""
