"""Compare modalities within models and models within modalities, paired within the subject (``docs/statistics.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.compare.columns import ALL_TARGETS, FRAMES, PAIRINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["ALL_TARGETS", "FRAMES", "PAIRINGS", "Comparison"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Frames of figures; the columns of each are ``FRAMES[name]``, with what they say."""

    #: each model x target x modality on its own
    means: pd.DataFrame
    #: structural against functional, within the sitting
    modality: pd.DataFrame
    #: model against model, within the image
    models: pd.DataFrame
    #: all targets of a model jointly
    joint: pd.DataFrame
    #: modality discrepancies and generalization gaps
    gaps: pd.DataFrame
    #: agreement of volumes (Bland-Altman)
    volumes: pd.DataFrame
    #: what literature and the paper report for the models at hand
    published: pd.DataFrame
    #: metric -> margin of equivalence
    margins: Mapping[str, float]
    confidence: float
    resamples: int
    seed: int
