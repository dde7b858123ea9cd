"""Scores of masks against references: DeepMind's surface definitions, exact, for all targets of a scan at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.measures import Measures, Surface
from evaluator.metrics.simple import measure_simply
from evaluator.metrics.table import METRICS, Metric, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["METRICS", "Measures", "Metric", "Surface", "measure", "measure_labels", "measure_masks", "score"]


def measure_labels(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
    prediction_targets: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Measures]:
    """Measure every target of a pair of label maps."""
    del threads
    theirs = prediction_targets or targets
    return {
        name: measure(np.isin(reference, values), np.isin(prediction, theirs[name]), spacing, tolerances[name])
        for name, values in targets.items()
    }


def measure_masks(
    labels: NDArray[Any],
    targets: Mapping[str, tuple[int, ...]],
    masks: Mapping[str, NDArray[np.uint8]],
    spacing: Sequence[float],
    tolerances: Mapping[str, float],
    threads: int = 1,
) -> dict[str, Measures]:
    """Measure every target of a reference label map against its own mask."""
    del threads
    return {
        name: measure(np.isin(labels, values), masks[name], spacing, tolerances[name])
        for name, values in targets.items()
    }


def measure(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float], tolerance_mm: float
) -> Measures:
    """Measure one pair of masks."""
    return measure_simply(reference, prediction, spacing, tolerance_mm)
