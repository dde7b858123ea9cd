"""What is counted for one target, from which every metric follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evaluator.metrics.centreline import CentreLines
    from evaluator.metrics.lesions import Lesions
    from evaluator.metrics.uptake import Uptake

Part = Literal["lesions", "uptake", "centre_lines"]
"""What is measured of a target only where a metric that is asked for needs it and it has a meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One mask's surface as seen from the other mask's; a surface of its own has an area even where there is no other.

    Distances go from each surface corner to the nearest corner of the other surface, weighted by the corner's area
    (``evaluator.metrics.areas``). They are zero where either surface is absent, and then mean nothing.
    """

    #: mm^2 (in 2-D: mm)
    area: float = 0.0
    #: the part of the area that lies within the tolerance of the other surface
    area_within: float = 0.0
    #: sum over corners of area times distance
    moment: float = 0.0
    #: the largest distance, mm
    farthest: float = 0.0
    #: the smallest distance within which lies at least 95 % of the area, mm
    percentile_95: float = 0.0
    #: surface corners
    corners: int = 0

    @property
    def mean(self) -> float:
        """The area-weighted mean distance, mm."""
        return self.moment / self.area


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What one target's reference and prediction have in voxels and surface."""

    reference_voxels: int
    prediction_voxels: int
    shared_voxels: int
    #: of one voxel (in 2-D: of a voxel 1 mm thick)
    voxel_ml: float
    tolerance_mm: float
    reference: Surface = Surface()
    prediction: Surface = Surface()
    #: the parts; None where not asked for
    lesions: Lesions | None = None
    uptake: Uptake | None = None
    centre_lines: CentreLines | None = None

    @property
    def both_empty(self) -> bool:
        """Neither mask has a voxel."""
        return not self.reference_voxels and not self.prediction_voxels

    @property
    def one_empty(self) -> bool:
        """Exactly one of the masks has no voxel."""
        return bool(self.reference_voxels) != bool(self.prediction_voxels)

    @property
    def reference_ml(self) -> float:
        """The reference's volume."""
        return self.reference_voxels * self.voxel_ml

    @property
    def prediction_ml(self) -> float:
        """The prediction's volume."""
        return self.prediction_voxels * self.voxel_ml
