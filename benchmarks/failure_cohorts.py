"""Simulated cohorts of a model that fails now and then, on one image more often than on the other.

A subject has 13 organs on two images, as in ``benchmarks.bench_statistics``; a failure counts as 0.
Each function simulates cohorts of one scenario and returns one value for each cohort.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta, t

from evaluator.statistics import (
    FailurePart,
    compare_pairs,
    equivalence_p,
    fit_mixed_model,
    mean_intervals,
    mean_loss,
    paired_failures,
)
from evaluator.statistics.failures import failure_intervals
from evaluator.statistics.mixed_model import MIXED
from evaluator.statistics.sample_size import spread, subjects_needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
#: cohorts that are computed at once, and of a line those to which the mixed model is fitted
BATCH, FITTED = 50, 10
#: a variance that is estimated as 0 changes the model's limits and p by so much at most
BOUNDARY = 0.005


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


def make_cohorts(count: int, make: Callable[[], Cohort]) -> Iterator[tuple[int, Cohort]]:
    """Simulate cohorts side by side, as columns of a few large ones.

    Yields:
        The number of cohorts, and their columns, 13 of each.
    """
    for start in range(0, count, BATCH):
        cohorts = [make() for _ in range(min(BATCH, count - start))]
        scores, failed = (
            [
                np.concatenate([getattr(cohort, name)[arm] for cohort in cohorts], axis=1)
                for arm in (0, 1)
            ]
            for name in ("scores", "failed")
        )
        yield len(cohorts), Cohort((scores[0], scores[1]), (failed[0], failed[1]))


def _by_cohort(hits: np.ndarray, count: int) -> np.ndarray:
    """The share of each cohort's 13 columns, (cohorts,)."""
    return hits.reshape(count, ORGANS).mean(axis=1)


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
    make = partial(make_cohort, rates, subjects, rng, consistent=consistent)
    for number, (count, cohort) in enumerate(make_cohorts(cohorts, make)):
        result = compare_pairs(*cohort.scores, failures=cohort.failures, resamples=499, seed=number)
        with_allowance = (result.low <= true) & (true <= result.high)
        observed = (result.low_observed <= true) & (true <= result.high_observed)
        shares.append([_by_cohort(hits, count) for hits in (with_allowance, observed)])
    return np.concatenate(shares, axis=1).T


def coverage_of_means(rate: float, subjects: int, cohorts: int, seed: int = 0) -> np.ndarray:
    """Shares of the 13 intervals that hold the true mean of one image, (cohorts, 2)."""
    rng = np.random.default_rng([seed, subjects, 11])
    true = LEVEL * (1 - rate)
    shares = []
    make = partial(make_cohort, (0.0, rate), subjects, rng)
    for number, (count, cohort) in enumerate(make_cohorts(cohorts, make)):
        scores, failed = cohort.scores[1], cohort.failed[1]
        part = FailurePart(
            share=failed.astype(float), effect=-mean_loss(scores, failed, largest=1.0)
        )
        holds = []
        for parts in ((part,), ()):
            low, high = mean_intervals(scores, failures=parts, resamples=499, seed=number)[0]
            holds.append(_by_cohort((low <= true) & (true <= high), count))
        shares.append(holds)
    return np.concatenate(shares, axis=1).T


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
    shares = []
    make = partial(make_cohort, rates, subjects, rng, consistent=consistent)
    for count, cohort in make_cohorts(cohorts, make):
        margins = np.full(count * ORGANS, margin)
        p = [equivalence_p(cohort.difference, margins, cohort.failures)]
        p.append(equivalence_p(cohort.difference, margins))
        shares.append([_by_cohort(values <= 0.05, count) for values in p])
    return np.concatenate(shares, axis=1).T


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
    make = partial(make_cohort, rates, subjects, rng, effect=effect)
    for number, (count, cohort) in enumerate(make_cohorts(cohorts, make)):
        result = compare_pairs(*cohort.scores, failures=cohort.failures, resamples=499, seed=number)
        different = result.p_sign_flip <= 0.05
        holds_zero = (result.low <= 0) & (result.high >= 0)
        hits = (result.p <= 0.05, different, different & ~holds_zero)
        shares.append([_by_cohort(of_kind, count) for of_kind in hits])
    return np.concatenate(shares, axis=1).T


def joint(
    rates,
    subjects: int,
    cohorts: int,
    consistent: bool = False,
    seed: int = 0,
    fitted: int = FITTED,
) -> np.ndarray:
    """The mixed model where entire scans fail.

    Of full data its difference, interval and test are those of the subjects' mean differences. So
    the model is fitted to the first cohorts only, which must show this, and the others are computed
    from the means.

    Args:
        rates: failure rates on the structural and the functional image.
        subjects: number of subjects.
        cohorts: number of cohorts.
        consistent: scores that did not fail have a small spread.
        seed: of the simulation.
        fitted: so many cohorts are fitted.

    Returns:
        (cohorts, 4): the interval holds the truth, with the allowance and without; equivalent
        within the true difference, with the allowance and without.

    Raises:
        AssertionError: a fitted model differs from the means.
    """
    rng = np.random.default_rng([seed, subjects, 15])
    true = truth(rates)
    margin = abs(true) or 0.05
    rows = []
    make = partial(make_cohort, rates, subjects, rng, entire_scans=True, consistent=consistent)
    for number, (count, cohort) in enumerate(make_cohorts(cohorts, make)):
        shape = (subjects, count, ORGANS)
        differences = cohort.difference.reshape(shape).mean(axis=2)
        parts = tuple(
            FailurePart(
                share=part.share.reshape(shape).mean(axis=2),
                effect=part.effect.reshape(count, ORGANS).mean(axis=1),
            )
            for part in cohort.failures
        )
        mean = differences.mean(axis=0)
        reach = t.ppf(0.975, subjects - 1) * differences.std(axis=0, ddof=1) / np.sqrt(subjects)
        allowed = failure_intervals(differences, parts, (0.95,))[0]
        low, high = np.minimum(mean - reach, allowed[0]), np.maximum(mean + reach, allowed[1])
        margins = np.full(count, margin)
        p = [equivalence_p(differences, margins, failures) for failures in (parts, ())]
        if number == 0:
            _check_fits(cohort, parts, margin, np.stack([low, high, *p])[:, :fitted])
        rows.append(
            (
                (low <= true) & (true <= high),
                (mean - reach <= true) & (true <= mean + reach),
                p[0] <= 0.05,
                p[1] <= 0.05,
            )
        )
    return np.concatenate(rows, axis=1).T.astype(float)


def _check_fits(
    cohort: Cohort, parts: tuple[FailurePart, ...], margin: float, expected: np.ndarray
) -> None:
    """Fit the mixed model to the first cohorts, and compare where it could be fitted."""
    for number, (low, high, p, p_observed) in enumerate(expected.T):
        columns = slice(number * ORGANS, (number + 1) * ORGANS)
        of_cohort = [
            FailurePart(share=part.share[:, [number]], effect=part.effect[[number]])
            for part in parts
        ]
        first, second = (scores[:, columns] for scores in cohort.scores)
        result = fit_mixed_model(
            first, second, resamples=99, seed=0, failures=of_cohort, margin=margin
        )
        if result.method == MIXED:
            estimates = (
                result.low,
                result.high,
                result.p_equivalence,
                result.p_equivalence_observed,
            )
            np.testing.assert_allclose(estimates, (low, high, p, p_observed), rtol=0, atol=BOUNDARY)


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
