"""Means of scores that fail now and then: what failures that were not seen could change.

A sample in which nothing failed cannot show how often a model fails. Student's interval and every
bootstrap take the failure rate of the sample for the truth, so with 10 subjects and a failure rate
of 5 % their 95 % intervals hold the mean in 55 to 60 % of the samples only. Here the mean is split:

    mean = mean without failures + sum over kinds of failure (rate x effect)

The first term has Student's interval, each rate has Wilson's (J Am Stat Assoc 1927;22:209-212), and
the distances of the limits from the estimates are added as squares: MOVER, the method of variance
estimates recovery (Zou and Donner, Stat Med 2008;27:1693-1702; for differences of rates Newcombe,
Stat Med 1998;17:873-890). The rates of a paired comparison are those of discordant pairs.

A rate is a mean over subjects of shares from 0 to 1. Wilson's interval takes their variance as that
of whole subjects that fail, which is the largest that is possible. So it holds whether the targets
of one subject fail together or one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri, stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix


#: halvings of the range of a p value
_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePart:
    """One kind of failure: how often it was seen, and what it does to a subject's value."""

    #: (n, m) the share of each subject's predictions (or pairs) that failed in this way, 0 to 1
    share: Matrix
    #: (m,) the change of a subject's value if all of them fail, in the value's unit; 0: unknown
    effect: NDArray[np.float64]


def paired_failures(
    first: Matrix,
    second: Matrix,
    first_failed: NDArray[np.bool_],
    second_failed: NDArray[np.bool_],
    *,
    first_worst: Any = 0.0,
    second_worst: Any = 0.0,
    largest: float = 0.0,
) -> tuple[FailurePart, FailurePart]:
    """The failures of paired scores, for ``compare_pairs`` and ``equivalence_p``.

    Pairs in which both arms fail have no difference and are no failure here.

    Args:
        first: (n, m) scores, a failure as the value that it counts as.
        second: (n, m), likewise.
        first_failed: (n, m) the prediction failed.
        second_failed: (n, m), likewise.
        first_worst: the value that a failure counts as; a number, or an array that broadcasts to
            (n, m), as for scores from which a value of the subject was subtracted.
        second_worst: likewise.
        largest: what a failure costs in an arm in which all predictions failed, such as 1 for Dice.
    """
    return (
        FailurePart(
            share=(first_failed & ~second_failed).astype(np.float64),
            effect=-mean_loss(first - first_worst, first_failed, largest=largest),
        ),
        FailurePart(
            share=(second_failed & ~first_failed).astype(np.float64),
            effect=mean_loss(second - second_worst, second_failed, largest=largest),
        ),
    )


def mean_loss(
    above_worst: Any, failed: NDArray[np.bool_], *, largest: float = 0.0
) -> NDArray[np.float64]:
    """What a failure would cost, averaged over the predictions that did not fail.

    Args:
        above_worst: (n, m) score minus the value of a failure; NaN where there is no score.
        failed: (n, m).
        largest: the result where no prediction succeeded.

    Returns:
        (m,) in the scores' unit.
    """
    used = ~failed & ~np.isnan(above_worst)
    counts = used.sum(axis=0)
    sums = np.where(used, above_worst, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), largest)


def wilson(share: Any, n: Any, quantile: Any) -> tuple[Any, Any]:
    """Wilson's interval of a rate.

    Args:
        share: the observed rate, 0 to 1, any shape.
        n: number of subjects; broadcasts with the share.
        quantile: of the normal distribution, such as 1.96; broadcasts with the share.

    Returns:
        The lower and the upper limit.
    """
    squared = quantile**2 / n
    centre = (share + squared / 2) / (1 + squared)
    variance = share * (1 - share) / n + squared / (4 * n)
    half = quantile / (1 + squared) * np.sqrt(np.maximum(variance, 0.0))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


@dataclass(frozen=True, slots=True)
class _Split:
    """A column's mean, the standard error of its part without failures, and its failure rates."""

    n: int
    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    #: (parts, m)
    rates: Any
    effects: Any


def _split(columns: Matrix, failures: Sequence[FailurePart]) -> _Split:
    n = len(columns)
    effects = np.stack([part.effect for part in failures])
    without = columns - sum(part.share * part.effect for part in failures)
    return _Split(
        n,
        columns.mean(axis=0),
        without.std(axis=0, ddof=1) / np.sqrt(n),
        np.stack([part.share.mean(axis=0) for part in failures]),
        effects,
    )


def _reach(split: _Split, share: Any) -> tuple[Any, Any]:
    """The distances from the mean to the limits at one-sided confidence ``share`` (such as 0.975).

    Args:
        split: the columns.
        share: above 0.5; a number or (m,).
    """
    student = stdtrit(split.n - 1, share) * split.error
    low, high = wilson(split.rates, split.n, ndtri(share))
    fewer, more = split.effects * (low - split.rates), split.effects * (high - split.rates)
    down, up = np.minimum(fewer, more), np.maximum(fewer, more)
    return (
        np.sqrt(student**2 + (down**2).sum(axis=0)),
        np.sqrt(student**2 + (up**2).sum(axis=0)),
    )


def failure_intervals(
    columns: Matrix, failures: Sequence[FailurePart], levels: Sequence[float]
) -> Matrix:
    """Intervals of the columns' means that allow for failures which were not seen.

    Args:
        columns: (n, m) values of n subjects, n at least 2; failures as what they count as.
        failures: at least one kind.
        levels: confidence levels.

    Returns:
        (levels, 2, m) lower and upper ends.
    """
    split = _split(columns, failures)
    ends = np.empty((len(levels), 2, columns.shape[1]))
    for i, level in enumerate(levels):
        down, up = _reach(split, (1 + level) / 2)
        ends[i] = split.mean - down, split.mean + up
    return ends


def failure_equivalence_p(
    columns: Matrix, failures: Sequence[FailurePart], margin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One minus the highest one-sided confidence at which the limits lie within the margin.

    So the p is at most 0.05 exactly where the 90 % interval of ``failure_intervals`` lies within
    the margin.

    Args:
        columns: (n, m), n at least 2.
        failures: at least one kind.
        margin: (m,), above 0; NaN gives NaN.

    Returns:
        (m,) from 1e-16 to 0.5; 0.5 also stands for any mean beyond the margin.
    """
    split = _split(columns, failures)
    smallest, largest = np.full(len(margin), -16 * np.log(10)), np.full(len(margin), np.log(0.5))
    for _ in range(_HALVINGS):
        middle = (smallest + largest) / 2
        down, up = _reach(split, -np.expm1(middle))
        within = (split.mean - down >= -margin) & (split.mean + up <= margin)
        largest = np.where(within, middle, largest)
        smallest = np.where(within, smallest, middle)
    return np.where(np.isnan(margin), np.nan, np.exp(largest))
