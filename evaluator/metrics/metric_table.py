"""The table of metrics: names, definitions, sources, and the functions that compute them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

from evaluator.metrics import definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.metrics.measurements import Measurement, Measures

DEEPMIND = "Nikolov et al., arXiv 1809.04430; github.com/google-deepmind/surface-distance"
RELOADED = "Maier-Hein et al., Metrics Reloaded, arXiv 2206.01653"
AUTOPET = "autoPET; Gatidis et al., Scientific Data 9:601, 2022"
PANOPTIC = "Kirillov et al., Panoptic Segmentation, CVPR 2019, arXiv 1801.00868"
CLDICE = (
    "Shit et al., clDice, CVPR 2021, arXiv 2003.07311; thinning by Lee et al., CVGIP 56:462, 1994"
)
PERCIST = "Wahl et al., PERCIST, J Nucl Med 2009;50 Suppl 1:122S"
IBSI = "IBSI global intensity peak, arXiv 1612.07003; " + PERCIST


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row of ``METRICS``."""

    name: str
    title: str
    #: "" for a pure number
    unit: str = ""
    #: which numbers are better; of a signed metric, which magnitudes
    direction: Literal["higher", "lower"]
    #: the value that a failed prediction counts as; infinite: ranked last, and in means replaced by
    #: the protocol's declared cap
    worst: float
    definition: str
    source: str
    #: not called where both masks are empty; None where one is, and the metric has no value
    function: Callable[[Measures], float | None]
    #: zero is perfect, and the sign is the direction of the error
    signed: bool = False
    #: the optional measurement that it needs
    measurement: Measurement | None = None

    @property
    def of_volume(self) -> bool:
        """Whether it is measured in millilitres, which a plane does not have."""
        return "ml" in self.unit.split()


_ROWS = (
    Metric(
        name="dice",
        title="Dice",
        direction="higher",
        worst=0.0,
        function=definitions.dice,
        source=RELOADED,
        definition="twice the voxels in both masks, divided by the sum of the masks' voxels",
    ),
    Metric(
        name="iou",
        title="IoU",
        direction="higher",
        worst=0.0,
        function=definitions.iou,
        source=RELOADED,
        definition="voxels in both masks, divided by voxels in either (Jaccard)",
    ),
    Metric(
        name="nsd",
        title="NSD",
        direction="higher",
        worst=0.0,
        function=definitions.nsd,
        source=DEEPMIND,
        definition=(
            "area of both surfaces within the tolerance of the other, divided by their area "
            "(surface Dice)"
        ),
    ),
    Metric(
        name="hd",
        title="HD",
        unit="mm",
        direction="lower",
        worst=inf,
        function=definitions.hd,
        source=DEEPMIND,
        definition="largest distance from either surface to the other (Hausdorff)",
    ),
    Metric(
        name="hd95",
        title="HD95",
        unit="mm",
        direction="lower",
        worst=inf,
        function=definitions.hd95,
        source=DEEPMIND,
        definition="larger of the two directed area-weighted 95th percentiles of surface distance",
    ),
    Metric(
        name="assd",
        title="ASSD",
        unit="mm",
        direction="lower",
        worst=inf,
        function=definitions.assd,
        source=RELOADED,
        definition="mean surface distance over the area of both surfaces, pooled",
    ),
    Metric(
        name="masd",
        title="MASD",
        unit="mm",
        direction="lower",
        worst=inf,
        function=definitions.masd,
        source=RELOADED,
        definition="mean of the two directed area-weighted mean surface distances",
    ),
    Metric(
        name="rve",
        title="RVE",
        direction="lower",
        worst=-1.0,
        function=definitions.rve,
        source=RELOADED,
        signed=True,
        definition=(
            "predicted minus reference volume, divided by reference volume; -1 for an empty "
            "prediction"
        ),
    ),
    Metric(
        name="volume_error_ml",
        title="Volume error",
        unit="ml",
        direction="lower",
        worst=inf,
        signed=True,
        function=definitions.volume_error,
        source=RELOADED,
        definition="predicted minus reference volume",
    ),
    Metric(
        name="cldice",
        title="clDice",
        direction="higher",
        worst=0.0,
        function=definitions.cldice,
        source=CLDICE,
        measurement="centre_lines",
        definition=(
            "harmonic mean of the shares of the two masks' centre lines that lie in the other mask"
        ),
    ),
    Metric(
        name="lesion_f1",
        title="Lesion F1",
        direction="higher",
        worst=0.0,
        function=definitions.lesion_f1,
        source=PANOPTIC,
        measurement="lesions",
        definition=(
            "twice the pairs of components with an IoU above 0.5, divided by the components of "
            "both masks"
        ),
    ),
    Metric(
        name="panoptic_quality",
        title="PQ",
        direction="higher",
        worst=0.0,
        source=PANOPTIC,
        measurement="lesions",
        function=definitions.panoptic_quality,
        definition="lesion F1 times the mean IoU of the matched pairs of components",
    ),
    Metric(
        name="false_lesions",
        title="False lesions",
        direction="lower",
        worst=inf,
        source=AUTOPET,
        measurement="lesions",
        function=definitions.false_lesions,
        definition="number of predicted components that touch no voxel of the reference",
    ),
    Metric(
        name="missed_lesions",
        title="Missed lesions",
        direction="lower",
        worst=inf,
        source=AUTOPET,
        measurement="lesions",
        function=definitions.missed_lesions,
        definition="number of components of the reference that no predicted voxel touches",
    ),
    Metric(
        name="false_lesions_ml",
        title="False positive volume",
        unit="ml",
        direction="lower",
        worst=inf,
        source=AUTOPET,
        measurement="lesions",
        function=definitions.false_lesion_volume,
        definition="volume of the predicted components that touch no voxel of the reference",
    ),
    Metric(
        name="missed_lesions_ml",
        title="False negative volume",
        unit="ml",
        direction="lower",
        worst=inf,
        source=AUTOPET,
        measurement="lesions",
        function=definitions.missed_lesion_volume,
        definition="volume of the components of the reference that no predicted voxel touches",
    ),
    Metric(
        name="mtv_error_ml",
        title="MTV error",
        unit="ml",
        direction="lower",
        worst=inf,
        source=PERCIST,
        signed=True,
        measurement="uptake",
        function=definitions.mtv_error,
        definition=(
            "predicted minus reference metabolic volume, that of the region on the PET image's grid"
        ),
    ),
    Metric(
        name="tlg_error",
        title="TLG error",
        unit="SUV ml",
        direction="lower",
        worst=inf,
        source=PERCIST,
        signed=True,
        measurement="uptake",
        function=definitions.tlg_error,
        definition=(
            "predicted minus reference total lesion glycolysis: SUVmean times volume; 0 for an "
            "empty mask"
        ),
    ),
    Metric(
        name="suvmean_error",
        title="SUVmean error",
        unit="SUV",
        direction="lower",
        worst=inf,
        source=PERCIST,
        signed=True,
        measurement="uptake",
        function=definitions.suvmean_error,
        definition="predicted minus reference region's mean uptake",
    ),
    Metric(
        name="suvmax_error",
        title="SUVmax error",
        unit="SUV",
        direction="lower",
        worst=inf,
        source=PERCIST,
        signed=True,
        measurement="uptake",
        function=definitions.suvmax_error,
        definition="predicted minus reference region's highest voxel",
    ),
    Metric(
        name="suvpeak_error",
        title="SUVpeak error",
        unit="SUV",
        direction="lower",
        worst=inf,
        source=IBSI,
        signed=True,
        measurement="uptake",
        function=definitions.suvpeak_error,
        definition=(
            "predicted minus reference region's highest mean over a sphere of 1 ml about one of "
            "its voxels"
        ),
    ),
)

METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}
"""Every metric that a protocol may name."""
