"""Simulated cohorts of a model that fails now and then, on one image more often than on the other.

A subject has 13 organs on two images, as in ``benchmarks.bench_statistics``; a failure counts as 0.
Each function simulates cohorts of one scenario and returns one value for each cohort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from evaluator.statistics import (
    FailurePart,
    compare_pairs,
    equivalence_p,
    fit_mixed_model,
    mean_intervals,
    mean_loss,
    paired_failures,
)
from evaluator.statistics.sample_size import spread, subjects_needed

ORGANS = 13
#: mean of the Dice of a prediction that does not fail: beta(6, 2)
LEVEL = 0.75
#: failure rates on the structural and the functional image
RATES = (
    (0.0, 0.0),
    (0.0, 0.02),
    (0.0, 0.05),
    (0.0, 0.10),
    (0.01, 0.10),
    (0.05, 0.05),
    (0.30, 0.60),
)
SUBJECTS = (5, 10, 30, 100)


#: quantiles of the standard normal and of beta distributions, whose inverse is slow
_NORMAL = np.linspace(-8, 8, 4001)
_DICE = {
    # standard deviation 0.14
    False: beta.ppf(ndtr(_NORMAL), 6, 2),
    # a consistent model: 0.05
    True: beta.ppf(ndtr(_NORMAL), 60, 20),
}


@dataclass(frozen=True)
class Cohort:
    """Scores and failures, each (subjects, organs), on the structural and functional image."""

    scores: tuple[np.ndarray, np.ndarray]
    failed: tuple[np.ndarray, np.ndarray]

    @property
    def difference(self) -> np.ndarray:
        """Structural minus functional."""
        return self.scores[0] - self.scores[1]

    @property
    def failures(self) -> tuple[FailurePart, FailurePart]:
        """The failures of both images, for the functions of ``evaluator.statistics``."""
        return paired_failures(*self.scores, *self.failed, largest=1.0)


def truth(rates: tuple[float, float], effect: float = 0.0) -> float:
    """The mean difference; the effect is added to structural scores that did not fail."""
    return (LEVEL + effect) * (1 - rates[0]) - LEVEL * (1 - rates[1])


def make_cohort(
    rates: tuple[float, float],
    subjects: int,
    rng: np.random.Generator,
    *,
    effect: float = 0.0,
    entire_scans: bool = False,
    consistent: bool = False,
) -> Cohort:
    """Simulate one cohort.

    Args:
        rates: failure rates on the structural and the functional image.
        subjects: number of subjects.
        rng: source of random numbers.
        effect: added to structural scores that did not fail.
        entire_scans: all organs of an image fail together.
        consistent: scores that did not fail have a small spread.
    """
    subject = rng.normal(size=(subjects, 1))
    organ = rng.normal(size=(subjects, ORGANS))
    scores, failed = [], []
    for rate, added in zip(rates, (effect, 0.0), strict=True):
        image = rng.normal(size=(subjects, 1)) * 0.5
        residual = image + rng.normal(size=(subjects, ORGANS)) * 0.5
        z = np.sqrt(0.3) * subject + np.sqrt(0.2) * organ + residual
        shape = (subjects, 1) if entire_scans else (subjects, ORGANS)
        bad = np.broadcast_to(rng.random(shape) < rate, (subjects, ORGANS))
        scores.append(np.where(bad, 0.0, np.interp(z, _NORMAL, _DICE[consistent]) + added))
        failed.append(bad)
    return Cohort((scores[0], scores[1]), (failed[0], failed[1]))


def coverage(
    rates, subjects: int, cohorts: int, consistent: bool = False, seed: int = 0
) -> np.ndarray:
    """Shares of the 13 intervals that hold the true difference, with the allowance and without.

    Returns:
        (cohorts, 2).
    """
    rng = np.random.default_rng([seed, subjects, 10])
    true = truth(rates)
    shares = []
    for number in range(cohorts):
        cohort = make_cohort(rates, subjects, rng, consistent=consistent)
        result = compare_pairs(*cohort.scores, failures=cohort.failures, resamples=499, seed=number)
        with_allowance = (result.low <= true) & (true <= result.high)
        observed = (result.low_observed <= true) & (true <= result.high_observed)
        shares.append((with_allowance.mean(), observed.mean()))
    return np.array(shares)


def coverage_of_means(rate: float, subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """Shares of the 13 intervals that hold the true mean of one image, (cohorts, 2)."""
    rng = np.random.default_rng([seed, subjects, 11])
    true = LEVEL * (1 - rate)
    shares = []
    for number in range(cohorts):
        cohort = make_cohort((0.0, rate), subjects, rng)
        scores, failed = cohort.scores[1], cohort.failed[1]
        part = FailurePart(
            share=failed.astype(float), effect=-mean_loss(scores, failed, largest=1.0)
        )
        holds = []
        for parts in ((part,), ()):
            low, high = mean_intervals(scores, failures=parts, resamples=499, seed=number)[0]
            holds.append(((low <= true) & (true <= high)).mean())
        shares.append(holds)
    return np.array(shares)


def false_equivalence(
    rates, subjects: int, cohorts: int, consistent: bool = False, seed: int = 0
) -> np.ndarray:
    """Shares of 13 tests that are equivalent within the true difference, (cohorts, 2)."""
    rng = np.random.default_rng([seed, subjects, 12])
    return _equivalent(rates, subjects, cohorts, abs(truth(rates)), rng, consistent)


def true_equivalence(subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """Shares of 13 tests that are equivalent within 0.05 if nothing differs, (cohorts, 2)."""
    rng = np.random.default_rng([seed, subjects, 13])
    return _equivalent((0.0, 0.0), subjects, cohorts, 0.05, rng)


def _equivalent(
    rates, subjects: int, cohorts: int, margin: float, rng, consistent: bool = False
) -> np.ndarray:
    margins = np.full(ORGANS, margin)
    shares = []
    for _ in range(cohorts):
        cohort = make_cohort(rates, subjects, rng, consistent=consistent)
        p = [equivalence_p(cohort.difference, margins, cohort.failures)]
        p.append(equivalence_p(cohort.difference, margins))
        shares.append([(values <= 0.05).mean() for values in p])
    return np.array(shares)


def silent_differences(subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """Equal means by 5 % failures of one image against better scores on it otherwise.

    Returns:
        (cohorts, 3): shares of 13 comparisons with a p of at most 0.05 of Wilcoxon's test, of the
        sign-flip test, and of the sign-flip test beside an interval that does not hold 0.
    """
    rng = np.random.default_rng([seed, subjects, 14])
    rates = (0.05, 0.0)
    effect = LEVEL / (1 - rates[0]) - LEVEL
    shares = []
    for number in range(cohorts):
        cohort = make_cohort(rates, subjects, rng, effect=effect)
        result = compare_pairs(*cohort.scores, failures=cohort.failures, resamples=499, seed=number)
        different = result.p_sign_flip <= 0.05
        holds_zero = (result.low <= 0) & (result.high >= 0)
        shares.append(
            ((result.p <= 0.05).mean(), different.mean(), (different & ~holds_zero).mean())
        )
    return np.array(shares)


def joint(
    rates, subjects: int, cohorts: int, consistent: bool = False, seed: int = 0
) -> np.ndarray:
    """The mixed model where entire scans fail.

    Returns:
        (cohorts, 4): the interval holds the truth, with the allowance and without; equivalent
        within the true difference, with the allowance and without.
    """
    rng = np.random.default_rng([seed, subjects, 15])
    true = truth(rates)
    rows = []
    for _ in range(cohorts):
        cohort = make_cohort(rates, subjects, rng, entire_scans=True, consistent=consistent)
        parts = tuple(
            FailurePart(
                share=part.share.mean(axis=1, keepdims=True),
                effect=part.effect.mean(keepdims=True),
            )
            for part in cohort.failures
        )
        margin = abs(true) or 0.05
        result = fit_mixed_model(
            *cohort.scores, resamples=199, seed=0, failures=parts, margin=margin
        )
        rows.append(
            (
                result.low <= true <= result.high,
                result.low_observed <= true <= result.high_observed,
                result.p_equivalence <= 0.05,
                result.p_equivalence_observed <= 0.05,
            )
        )
    return np.array(rows, dtype=float)


def power_at_the_number(subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """Whether a second study finds a difference of 0.05 with the subjects that the first names."""
    rng = np.random.default_rng([seed, subjects, 16])
    rows = []
    for number in range(cohorts):
        first = rng.normal(0.0, 0.1, (subjects, 1))
        needed = int(subjects_needed(spread(first, seed=number)[0], np.full(1, 0.05), 1)[0])
        second = rng.normal(0.55, 0.1, (needed, 1))
        result = compare_pairs(second, np.full((needed, 1), 0.5), resamples=9)
        rows.append(float(result.p_sign_flip[0] <= 0.05))
    return np.array(rows)
