"""What is counted for one target; every metric follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from evaluator.metrics.kernels.surface_statistics import Surface

if TYPE_CHECKING:
    from evaluator.metrics.kernels.skeleton import CentreLines
    from evaluator.metrics.lesions import Lesions
    from evaluator.metrics.uptake import Uptake

Measurement = Literal["lesions", "uptake", "centre_lines"]
"""What is measured only where a requested metric needs it and it has a meaning for the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Voxels and surfaces of one target's reference and prediction."""

    reference_voxels: int
    prediction_voxels: int
    shared_voxels: int
    #: volume of one voxel (in 2-D: of a voxel 1 mm thick)
    voxel_ml: float
    tolerance_mm: float
    #: the masks have two axes, so they have areas and no volumes
    plane: bool = False
    reference: Surface = field(default_factory=Surface)
    prediction: Surface = field(default_factory=Surface)
    #: the optional measurements; None where not measured
    lesions: Lesions | None = None
    uptake: Uptake | None = None
    centre_lines: CentreLines | None = None

    @property
    def both_empty(self) -> bool:
        """Whether neither mask has a voxel."""
        return not self.reference_voxels and not self.prediction_voxels

    @property
    def one_empty(self) -> bool:
        """Whether exactly one of the masks has no voxel."""
        return bool(self.reference_voxels) != bool(self.prediction_voxels)

    @property
    def reference_ml(self) -> float:
        """The reference's volume, ml."""
        return self.reference_voxels * self.voxel_ml

    @property
    def reference_mm2(self) -> float:
        """The reference's area, mm^2; of a plane."""
        return self.reference_voxels * self.voxel_ml * 1000

    @property
    def prediction_mm2(self) -> float:
        """The prediction's area, mm^2; of a plane."""
        return self.prediction_voxels * self.voxel_ml * 1000

    @property
    def prediction_ml(self) -> float:
        """The prediction's volume, ml."""
        return self.prediction_voxels * self.voxel_ml
