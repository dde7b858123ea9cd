"""The conclusion of a comparison of modalities, from the raw and the controlled verdict.

The controlled verdict decides. It is never turned into a claim that the raw scores contradict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.blind_answers import FLOOR
from evaluator.metrics.metric_table import METRICS
from evaluator.statistics import DIFFERENT, DIFFERENT_WITHIN_MARGIN, EQUIVALENT, INCONCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

WORSE, BETTER = "worse on PET", "better on PET"
SLIGHTLY = {WORSE: "slightly worse on PET", BETTER: "slightly better on PET"}
AS_GOOD = "as good on PET"
NO_DIFFERENCE = "no difference beyond the grid"
NONE_SHOWN = "no difference shown beyond the grid"
#: conclusion -> kind: what it says of PET
KINDS = {
    WORSE: "worse",
    BETTER: "better",
    SLIGHTLY[WORSE]: "same",
    SLIGHTLY[BETTER]: "same",
    AS_GOOD: "same",
    NO_DIFFERENCE: "same",
    NONE_SHOWN: "open",
    INCONCLUSIVE: "open",
}
_SIGNIFICANT = (DIFFERENT, DIFFERENT_WITHIN_MARGIN)


def conclude(row: Mapping[Any, Any], metric: str) -> tuple[str, str]:
    """The conclusion of a row of the table of modalities, and a remark on the grid's part.

    Args:
        row: A row with ``difference``, ``verdict``, the columns ``GRID`` of the schema before
            the conclusion, and ``no_difference``; ``grid_answer`` may be absent.
        metric: Name of the metric.

    Returns:
        One of ``KINDS``, and a sentence without a full stop that says where the raw and the
        controlled verdict disagree, or that there is no controlled one; empty if they agree.
    """
    raw = _words(row["difference"], row["verdict"], metric)
    if pd.isna(row["controlled_verdict"]):
        problem = "not controlled for the grid: no pair has a score, a floor and a ceiling"
        return raw, "" if raw == INCONCLUSIVE else problem
    controlled = _words(row["controlled_difference"], row["controlled_verdict"], metric)
    blind = row["floor_structural"] - row["floor_functional"]
    part = (
        f"by the raw scores {raw}; image-blind answers to the model's prompts differ by {blind:.3f}"
    )
    answer = row.get("grid_answer", FLOOR)
    if not pd.isna(answer) and answer != FLOOR:
        part = f"{part}, and the answer {answer} explains most of the difference"
    if row["no_difference"]:
        return NO_DIFFERENCE, f"{part}; the controlled difference of every subject is 0"
    if raw == controlled:
        return raw, ""
    raw_shown = row["verdict"] in _SIGNIFICANT
    shown = row["controlled_verdict"] in _SIGNIFICANT
    same_sign = row["difference"] * row["controlled_difference"] > 0
    if raw_shown and not (shown and same_sign):
        return (NONE_SHOWN if controlled == INCONCLUSIVE else NO_DIFFERENCE), part
    if row["verdict"] == EQUIVALENT and shown:
        return INCONCLUSIVE, f"{part}; beyond the grid {controlled}"
    return controlled, part


def _words(difference: Any, verdict: Any, metric: str) -> str:
    """A verdict in words, with its direction."""
    if pd.isna(verdict) or pd.isna(difference) or verdict == INCONCLUSIVE:
        return INCONCLUSIVE
    if verdict == EQUIVALENT:
        return AS_GOOD
    word = WORSE if (difference > 0) == (METRICS[metric].direction == "higher") else BETTER
    return SLIGHTLY[word] if verdict == DIFFERENT_WITHIN_MARGIN else word
