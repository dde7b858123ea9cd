"""Paired comparison of modalities and models (``docs/statistics.md``)."""

from evaluator.analysis.comparison.compare_groups import MARGINS, SEED, Comparison, compare
from evaluator.analysis.comparison.schema import ALL_TARGETS, FRAMES, MODALITY_PAIRS

__all__ = ["ALL_TARGETS", "FRAMES", "MARGINS", "MODALITY_PAIRS", "SEED", "Comparison", "compare"]
