"""Types of the columns of comparisons: nullable text, counts and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

#: columns of text and of counts; all others are numbers
WORDS = {
    "dataset",
    "protocol",
    "model",
    "other",
    "modality_pair",
    "modality",
    "target",
    "metric",
    "failures",
    "family",
    "verdict",
    "verdict_reason",
    "status",
    "explanation",
    "method",
    "reason",
    "gap",
    "source",
    "certainty",
    "kind",
    "prompt",
    "data",
    "control",
    "target_dataset",
    "controlled_verdict",
    "conclusion",
    "grid_answer",
    "grid_remark",
    "by",
    "subgroup",
}
COUNTS = {
    "n",
    "n_pairs",
    "controlled_n",
    "excluded",
    "predictions",
    "failed",
    "unsupported",
    "failed_structural",
    "failed_functional",
    "failed_model",
    "failed_other",
    "scores",
    "targets",
    "subjects_for_tests",
    "subjects_needed",
    "subjects_needed_low",
    "subjects_needed_high",
}


def typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Select the documented columns in their order, as nullable text, counts and numbers."""
    kinds = {name: _kind(name) for name in columns}
    return frame.reindex(columns=list(columns)).astype(kinds)


def _kind(column: str) -> str:
    if column in WORDS:
        return "string"
    return "Int64" if column in COUNTS else "Float64"
