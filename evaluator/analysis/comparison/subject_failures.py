"""Each subject's share of failures, and what a failure costs, for intervals that allow for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.comparison.subject_means import with_target_mean
from evaluator.metrics.metric_table import METRICS
from evaluator.statistics import FailurePart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFailures:
    """One kind of failure in k models or comparisons; the last target is all targets."""

    #: (k, targets + 1, subjects) share of the subject's predictions or pairs, NaN where it has none
    share: NDArray[np.float64]
    #: (k, targets + 1) mean over the other predictions of score minus value of a failure
    loss: NDArray[np.float64]

    def rows(self, selected: Any = slice(None)) -> SubjectFailures:
        """The same with models and targets as one axis of rows: (rows, subjects) and (rows,)."""
        shares = self.share.reshape(-1, self.share.shape[-1])
        return SubjectFailures(share=shares[selected], loss=self.loss.ravel()[selected])

    def part(self, rows: Any, present: NDArray[np.bool_], sign: float) -> FailurePart:
        """The failures of some rows with the same number of subjects.

        Args:
            rows: Indices of rows, of the result of ``rows``.
            present: (len(rows), subjects) the subjects that have a value, equally many in a row.
            sign: +1 if a failure raises the value (the second arm of a difference), else -1.
        """
        shares = self.share[rows][present].reshape(len(present), -1).T
        return FailurePart(share=shares, effect=sign * self.loss[rows])


def subject_failures(
    values: Any, failed: Any, succeeded: Any, used: Any, score_array: ScoreArray
) -> SubjectFailures:
    """Count failures and their cost.

    Args:
        values: Scores, array (k, targets, units), with failures as what they count as.
        failed: The units that fail in this way.
        succeeded: The units whose scores a failure would have lost.
        used: The units in the estimate.
        score_array: The scores that the arrays were selected from; it has a ``failure_value``.
    """
    share = score_array.per_subject(np.where(used, failed.astype(np.float64), np.nan))
    lost = np.where(succeeded, values - score_array.failure_value, np.nan)
    present = ~np.isnan(lost)
    counts = present.sum(axis=-1)
    sums = np.nan_to_num(lost).sum(axis=-1)
    counts = np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)
    sums = np.concatenate([sums, sums.sum(axis=1, keepdims=True)], axis=1)
    largest = _largest_loss(score_array)
    loss = np.where(counts > 0, sums / np.maximum(counts, 1), largest)
    return SubjectFailures(share=with_target_mean(share), loss=loss)


def _largest_loss(score_array: ScoreArray) -> float:
    """The best value minus the value of a failure: 1 for Dice, minus the cap for a distance."""
    is_score = METRICS[score_array.metric].direction == "higher"
    return (1.0 if is_score else 0.0) - score_array.failure_value
