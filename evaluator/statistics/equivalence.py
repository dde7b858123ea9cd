"""Equivalence: two one-sided tests against a stated margin, and the verdict of both tests.

Schuirmann, J Pharmacokinet Biopharm 1987;15:657-680. Equivalence at level a is shown where the
1 - 2a interval lies within the margin. A difference that was not significant shows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr

from evaluator.statistics.failures import failure_equivalence_p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.statistics.failures import FailurePart
    from evaluator.statistics.resampling import Matrix

ALPHA = 0.05
DIFFERENT = "different"
EQUIVALENT = "equivalent"
DIFFERENT_WITHIN_MARGIN = "different within margin"
INCONCLUSIVE = "inconclusive"


def equivalence_p(
    differences: Matrix, margin: NDArray[np.float64], failures: Sequence[FailurePart] = ()
) -> NDArray[np.float64]:
    """The larger p of the two one-sided tests of each column.

    Without failures they are t tests. With failures the p is the larger one of the t tests' and of
    ``failure_equivalence_p``, so a failure rate that the sample cannot exclude counts. No p is
    smaller than ``smallest_p(n)``: five subjects without any spread have no p of 0.

    Args:
        differences: (n, m), of n subjects.
        margin: (m,), above 0, in the differences' unit.
        failures: kinds of failure that the differences contain.

    Returns:
        (m,); NaN where n < 2 or the margin is NaN.
    """
    n, m = differences.shape
    if n < 2:
        return np.full(m, np.nan)
    p = equivalence_by_error(
        differences.mean(axis=0), differences.std(axis=0, ddof=1) / np.sqrt(n), n, margin
    )
    if failures:
        p = np.maximum(p, failure_equivalence_p(differences, failures, margin))
    return p


def equivalence_by_error(
    mean: NDArray[np.float64], error: NDArray[np.float64], n: int, margin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The larger p of two one-sided t tests, by mean and standard error of n subjects.

    Args:
        mean: (m,).
        error: (m,).
        n: at least 2.
        margin: (m,).

    Returns:
        (m,), at least ``smallest_p(n)``; NaN where the margin is NaN.
    """
    flat = error <= 1e-12 * np.maximum(np.abs(mean), np.nan_to_num(margin))
    with np.errstate(divide="ignore", invalid="ignore"):
        above = stdtr(n - 1, -(mean + margin) / error)
        below = stdtr(n - 1, (mean - margin) / error)
    p = np.where(flat, np.where(np.abs(mean) < margin, 0.0, 1.0), np.maximum(above, below))
    return np.where(np.isnan(margin), np.nan, np.maximum(p, smallest_p(n)))


def smallest_p(n: int) -> float:
    """The smallest p that n subjects can give: that of n differences with one sign, 2**(1 - n)."""
    return float(2.0 ** (1 - n))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The p values adjusted by Holm (Scand J Stat 1979;6:65-70).

    NaN stays NaN and does not count as a test.
    """
    order = np.argsort(p)  # NaN last
    count = int((~np.isnan(p)).sum())
    adjusted = np.full(p.shape, np.nan)
    steps = p[order[:count]] * np.arange(count, 0, -1)
    adjusted[order[:count]] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdict(p_difference: float, p_equivalence: float) -> str:
    """The verdict of the two adjusted p values at 5 %.

    NaN counts as not significant.
    """
    different, equivalent = p_difference <= ALPHA, p_equivalence <= ALPHA
    if different and equivalent:
        return DIFFERENT_WITHIN_MARGIN
    if different:
        return DIFFERENT
    return EQUIVALENT if equivalent else INCONCLUSIVE
