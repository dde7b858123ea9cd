"""Equivalence: two one-sided tests against a stated margin, and the verdict of both tests.

Schuirmann, J Pharmacokinet Biopharm 1987;15:657-680. Equivalence at level a is shown where the
1 - 2a interval lies within the margin. A difference that was not significant shows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

ALPHA = 0.05
DIFFERENT = "different"
EQUIVALENT = "equivalent"
DIFFERENT_WITHIN_MARGIN = "different within margin"
INCONCLUSIVE = "inconclusive"


def equivalence_p(differences: Matrix, margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """The larger p of the two one-sided t tests of each column.

    Differences without any spread are either certainly within the margin or certainly not.

    Args:
        differences: (n, m), of n subjects.
        margin: (m,), above 0, in the differences' unit.

    Returns:
        (m,); NaN where n < 2 or the margin is NaN.
    """
    n, m = differences.shape
    if n < 2:
        return np.full(m, np.nan)
    mean = differences.mean(axis=0)
    error = differences.std(axis=0, ddof=1) / np.sqrt(n)
    flat = error <= 1e-12 * np.abs(differences).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = t.sf((mean + margin) / error, n - 1), t.cdf((mean - margin) / error, n - 1)
    p = np.where(flat, np.where(np.abs(mean) < margin, 0.0, 1.0), np.maximum(above, below))
    p[np.isnan(margin)] = np.nan
    return p


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
