"""Floor and ceiling of a scan's scores: ``limits/<case>/<modality>.json`` (``docs/run-format.md``).

The floor is what an image-blind answer to the same prompt scores, the ceiling what the grid allows.
``evaluator.limits`` computes them; ``docs/metrics.md`` states the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluator.runs.json_types import FORMAT
from evaluator.types import Modality

#: the image-blind answers: each is a mask that follows from the prompt alone
BLIND_ANSWERS = ("ellipsoid", "box", "ball", "mean shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """Floor and ceiling of one metric of one target under one seed; all rounds share them."""

    seed: int
    target: str
    metric: str
    #: score of the best image-blind mask; None: there is none, or the metric has no value for it
    floor: float | None = None
    #: name in ``BLIND_ANSWERS`` -> score of that mask; empty in runs of earlier versions
    blind: Mapping[str, float | None] = field(default_factory=dict)
    #: score of the finest reference of the case; None: the metric has no value
    ceiling: float | None = None
    #: name in ``BLIND_ANSWERS`` of the best mask, or why there is none
    floor_rule: str
    #: modality of the finest reference, or that the image's own reference was used
    ceiling_rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """Floors and ceilings of one scan."""

    case: str
    modality: Modality
    #: fingerprint of the prompts, the files, the dataset and the version of the rules
    key: str
    rows: tuple[LimitRow, ...]
    #: target -> Dice of the reference resampled to the common grid and back, against itself: what
    #: resampling costs; empty if the scan has its own grid throughout
    resampling: Mapping[str, float] = field(default_factory=dict)
    format: int = FORMAT
