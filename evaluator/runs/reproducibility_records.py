"""The result of the check of reproducibility: ``reproducibility.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evaluator.runs.json_types import FORMAT
from evaluator.types import Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskDifference:
    """A prediction that differed when it was repeated."""

    case: str
    modality: Modality
    round: int
    target: str
    #: status in the run
    status: str
    #: status when repeated
    repeated_status: str
    #: of the two masks, if both predictions gave one
    dice: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How many repeated predictions differed, and the first of them."""

    count: int
    first: tuple[MaskDifference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanName:
    """A scan by case and modality, and the seed that was repeated."""

    case: str
    modality: Modality
    #: None in runs of earlier versions: the first seed
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducibility:
    """Do predictions depend on the order of cases: ``reproducibility.json``."""

    verdict: Literal["equal", "keeps-state", "not-deterministic"]
    #: how the run's predictions were made
    mode: Literal["session", "batch"]
    #: fingerprint of the keys of the repeated scans
    source: str
    scans: tuple[ScanName, ...]
    #: predictions that were compared
    masks: int
    seconds: float
    #: "alone": each scan in a container of its own; "batch": all scans in one
    differences: Mapping[str, Differences]
    format: int = FORMAT
