"""The two arms of a paired comparison: their pairs, counted and averaged within the subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.comparison.score_array import FAILURE_RULES, INCLUDED
from evaluator.analysis.comparison.subject_failures import SubjectFailures, subject_failures
from evaluator.analysis.comparison.subject_means import with_target_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import ScoreArray


#: statuses of comparisons without a valid estimate
NO_ESTIMATE = ("no pairs", "excluded", "unsupported", "all failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm of k comparisons: arrays of shape (k, targets, units) as in ``ScoreArray``."""

    values: dict[str, Any]
    attempted: Any
    failed: Any
    unsupported: Any
    excluded: Any
    at_worst: Any

    @property
    def present(self) -> Any:
        """The target is in the references and the run has the scan."""
        return self.attempted | self.excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of two arms under one failure rule.

    Counts are arrays of shape (k, targets + 1); the last column is the sum over all targets.
    """

    #: (k, targets + 1, subjects) each subject's mean score, NaN where a subject has no pair
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    #: pairs in the estimate
    used: NDArray[np.int64]
    #: pairs with a prediction requested in both arms
    attempted: NDArray[np.int64]
    #: pairs for which no prediction could be requested in one arm or both
    excluded: NDArray[np.int64]
    #: attempted pairs that failed, by arm
    failed: tuple[NDArray[np.int64], NDArray[np.int64]]
    #: attempted pairs that the model does not support, by arm
    unsupported: tuple[NDArray[np.int64], NDArray[np.int64]]
    #: pairs in which only this arm is at its worst value, by arm; None: failures are excluded, or
    #: the metric has no worst value
    failures: tuple[SubjectFailures, SubjectFailures] | None


def arm_of(score_array: ScoreArray, models: Any, modality: int, units: Any = slice(None)) -> Arm:
    """Select one arm of a comparison.

    Args:
        score_array: The scores.
        models: Index of the models along the first axis.
        modality: Number of the modality in ``MODALITIES``.
        units: Index of the units along the last axis.
    """

    def select(array: Any) -> Any:
        return array[models, :, modality][..., units]

    return Arm(
        values={rule: select(score_array.values[rule]) for rule in FAILURE_RULES},
        attempted=select(score_array.attempted),
        failed=select(score_array.failed),
        unsupported=select(score_array.unsupported),
        excluded=select(score_array.excluded),
        at_worst=select(score_array.at_worst),
    )


def make_pairs(first: Arm, second: Arm, score_array: ScoreArray, failures: str) -> Pairs:
    """Pair two arms unit by unit, average within subjects, then over each subject's targets.

    Args:
        first: One arm, in all units of the score array.
        second: The other arm.
        score_array: The scores that the arms were selected from.
        failures: One of ``FAILURE_RULES``.
    """
    arms = (first, second)
    values = [arm.values[failures] for arm in arms]
    used = ~np.isnan(values[0]) & ~np.isnan(values[1])
    means = [score_array.per_subject(np.where(used, array, np.nan)) for array in values]
    attempted = first.attempted & second.attempted
    return Pairs(
        first=with_target_mean(means[0]),
        second=with_target_mean(means[1]),
        used=_count(used),
        attempted=_count(attempted),
        excluded=_count(first.present & second.present & ~attempted),
        failed=(_count(attempted & first.failed), _count(attempted & second.failed)),
        unsupported=(_count(attempted & first.unsupported), _count(attempted & second.unsupported)),
        failures=_pair_failures(first, second, used, score_array) if failures == INCLUDED else None,
    )


def _pair_failures(
    first: Arm, second: Arm, used: Any, score_array: ScoreArray
) -> tuple[SubjectFailures, SubjectFailures] | None:
    if np.isnan(score_array.failure_value):
        return None
    of_first, of_second = (
        subject_failures(
            arm.values[INCLUDED],
            arm.at_worst & ~other.at_worst,
            used & ~arm.at_worst,
            used,
            score_array,
        )
        for arm, other in ((first, second), (second, first))
    )
    return of_first, of_second


def _count(marks: Any) -> NDArray[np.int64]:
    counts = marks.sum(axis=2)
    return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)


def why_no_estimate(pairs: Pairs, k: int, target: int, names: tuple[str, str]) -> tuple[str, str]:
    """Explain why a comparison has no valid estimate.

    Args:
        pairs: The pairs of k comparisons.
        k: Number of the comparison.
        target: Number of the target; the last one is all targets.
        names: Names of the two arms.

    Returns:
        Status and explanation; two empty strings where there is an estimate.
    """
    attempted = int(pairs.attempted[k, target])
    if not attempted:
        if pairs.excluded[k, target]:
            return "excluded", (
                "the data do not allow a fair request for any pair, or the metric does not apply "
                "to the target"
            )
        return "no pairs", f"no case has the target on both {names[0]} and {names[1]}"
    refused = [
        name
        for name, counts in zip(names, pairs.unsupported, strict=True)
        if int(counts[k, target]) == attempted
    ]
    if refused:
        return "unsupported", f"not supported by the model: {' and '.join(refused)}"
    if all(int(counts[k, target]) == attempted for counts in pairs.failed):
        return "all failed", "no prediction in either arm has a mask"
    if not pairs.used[k, target]:
        return "all failed", "every pair has a failed prediction"
    return "", ""
