"""How many subjects a test would need: the smallest p of n subjects, and the spread's demand.

A family of m tests that is adjusted by Holm has no p below m times the smallest p of one test, so
few subjects may be unable to show anything, whatever their scores are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtrit

from evaluator.statistics.equivalence import ALPHA, smallest_p
from evaluator.statistics.failures import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

#: the share of studies that would find a difference of the margin
POWER = 0.8
#: simulated samples of the observed differences
SAMPLES = 400
#: numbers of subjects beyond this are reported as this
MOST = 100_000


def subjects_for_tests(tests: int) -> int:
    """The smallest number of subjects with which a family of so many tests can reach 5 %."""
    n = 2
    while tests * smallest_p(n) > ALPHA:
        n += 1
    return n


def spread(differences: Matrix, *, seed: int = 0) -> Matrix:
    """Standard deviations of the columns, with the interval that simulated samples give.

    The samples are drawn from the observed subjects with replacement. Failures are part of the
    spread.

    Args:
        differences: (n, m) of n subjects.
        seed: of the samples.

    Returns:
        (3, m): observed, and the 2.5 % and 97.5 % quantiles over the samples; NaN where n < 2.
    """
    n, m = differences.shape
    if n < 2:
        return np.full((3, m), np.nan)
    drawn = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), SAMPLES) / n
    centred = differences - differences.mean(axis=0)
    variances = (drawn @ centred**2 - (drawn @ centred) ** 2) * n / (n - 1)
    low, high = np.quantile(np.sqrt(np.maximum(variances, 0.0)), (0.025, 0.975), axis=0)
    return np.stack([differences.std(axis=0, ddof=1), low, high])


def subjects_needed(
    deviation: NDArray[np.float64], margin: NDArray[np.float64], tests: int
) -> NDArray[np.float64]:
    """Numbers of subjects with which a difference as large as the margin would be found.

    That is by a two-sided t test at 5 % / tests in 80 % of studies.

    Args:
        deviation: standard deviation of the differences between subjects, any shape.
        margin: above 0; broadcasts with it.
        tests: size of the family, at least 1; Holm's first step divides 5 % by it.

    Returns:
        Whole numbers, at least ``subjects_for_tests``, at most 100,000; NaN where an argument is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        effects = margin / deviation
    detectable = _detectable(tests)
    # detectable effects fall with n, and searchsorted wants them to rise
    position = np.searchsorted(-detectable, -np.nan_to_num(effects, nan=np.inf))
    in_table = (position + 2).astype(np.float64)
    quantiles = ndtri(1 - ALPHA / tests / 2) + ndtri(POWER)
    with np.errstate(divide="ignore", over="ignore"):
        beyond = np.minimum(np.ceil((quantiles / effects) ** 2), MOST)
    numbers = np.where(position < len(detectable), in_table, beyond)
    numbers = np.maximum(numbers, subjects_for_tests(tests))
    return np.where(np.isnan(deviation) | np.isnan(margin), np.nan, numbers)


@lru_cache(maxsize=64)
def _detectable(tests: int) -> NDArray[np.float64]:
    """The effects that 2, 3, ... 4,000 subjects detect."""
    n = np.arange(2, 4001)
    quantiles = stdtrit(n - 1, POWER) - stdtrit(n - 1, ALPHA / tests / 2)
    effects: NDArray[np.float64] = quantiles / np.sqrt(n)
    return effects


def subjects_without_failure(
    margin: float, loss: float, half_width: float, n: int, tests: int
) -> int | None:
    """The number of subjects without a failure that would show equivalence within the margin.

    Args:
        margin: of equivalence.
        loss: what a failure costs, in the same unit.
        half_width: of the 90 % interval of the mean difference among n subjects, without failures.
        n: subjects so far.
        tests: size of the family.

    Returns:
        A number of subjects; None: more than 100,000.
    """
    numbers = np.unique(np.geomspace(max(n, 2), MOST, 2000).astype(np.int64))
    _, rates = wilson(0.0, numbers, ndtri(1 - ALPHA / tests))
    reach = np.sqrt(half_width**2 * n / numbers + (loss * rates) ** 2)
    enough = numbers[reach <= margin]
    return int(enough[0]) if len(enough) else None
