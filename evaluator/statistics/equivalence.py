"""Is a difference smaller than matters: two one-sided tests against a stated margin, and the verdict of both questions.

Schuirmann, J Pharmacokinet Biopharm 1987;15:657-680. Equivalence at level a is what the 1 - 2a interval within the margin
shows; not having found a difference shows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

ALPHA = 0.05
DIFFERENT, EQUIVALENT, BOTH, NEITHER = (
    "different",
    "equivalent",
    "different within margin",
    "cannot say",
)


def equivalence_p(differences: Matrix, margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """The larger p of the two one-sided t tests of each column of (n, m) against -margin and margin, (m,), above 0.

    NaN where n < 2 or the margin is NaN. Differences without any spread are within the margin for sure, or not at all.
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
    """The p adjusted by Holm over those that are numbers (Holm, Scand J Stat 1979;6:65-70); NaN stays NaN."""
    order = np.argsort(p)  # NaN last
    count = int((~np.isnan(p)).sum())
    adjusted = np.full(p.shape, np.nan)
    steps = p[order[:count]] * np.arange(count, 0, -1)
    adjusted[order[:count]] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdict(p_difference: float, p_equivalence: float) -> str:
    """What the two adjusted p together say at 5 %; NaN counts as not shown."""
    different, equivalent = p_difference <= ALPHA, p_equivalence <= ALPHA
    return (
        (BOTH if equivalent else DIFFERENT) if different else EQUIVALENT if equivalent else NEITHER
    )
