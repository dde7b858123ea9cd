"""Paired differences of subjects: size, uncertainty and tests of each column.

The unit is the subject; a column is one comparison (an organ and a model). Sources: Wilcoxon's
signed-rank test with Pratt's treatment of zeros, J Am Stat Assoc 1959;54:655-667; the matched-pairs
rank-biserial correlation, Kerby, Compr Psychol 2014;3:11.IT.3.1, and King, Rosopa and Minium,
Statistical Reasoning 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata, wilcoxon

from evaluator.statistics.hodges_lehmann import hodges_lehmann
from evaluator.statistics.intervals import mean_intervals
from evaluator.statistics.resampling import ALL_FLIPS, RESAMPLES, flipped_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

#: differences that are smaller than this share of the largest score are rounding, and count as 0
ROUNDING = 1e-12
#: up to so many subjects the null distribution of untied ranks is exact
_EXACT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Statistics of m columns, each array (m,); NaN where n is too small for a statistic."""

    n: int
    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    low_90: NDArray[np.float64]
    high_90: NDArray[np.float64]
    shift: NDArray[np.float64]
    rank_biserial: NDArray[np.float64]
    wins: NDArray[np.float64]
    p: NDArray[np.float64]
    p_sign_flip: NDArray[np.float64]


def compare_pairs(
    first: Matrix,
    second: Matrix,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Compare the scores of subjects by their differences, first - second.

    Intervals are those of ``mean_intervals``. One subject has no p, and few subjects have no
    interval.

    Args:
        first: (n, m) scores of n subjects, at least one; no value may be missing.
        second: (n, m), likewise.
        confidence: level of the interval ``low`` to ``high``.
        resamples: number of bootstrap samples and of sign flips.
        seed: of both.
    """
    scale = np.maximum(np.abs(first), np.abs(second)).max(axis=0)
    differences = first - second
    differences[np.abs(differences) <= ROUNDING * scale] = 0.0
    ends = mean_intervals(differences, (confidence, 0.90), resamples=resamples, seed=seed)
    ranks = signed_ranks(differences)
    n = len(differences)
    return Paired(
        n=n,
        difference=differences.mean(axis=0),
        low=ends[0, 0],
        high=ends[0, 1],
        low_90=ends[1, 0],
        high_90=ends[1, 1],
        shift=hodges_lehmann(differences),
        rank_biserial=ranks.sum(axis=0) / (n * (n + 1) / 2),
        wins=((differences > 0) + (differences == 0) / 2).mean(axis=0),
        p=signed_rank_p(differences),
        p_sign_flip=sign_flip_p(differences, resamples=resamples, seed=seed),
    )


def signed_ranks(differences: Matrix) -> Matrix:
    """Ranks of the magnitudes with the signs of the differences, (n, m).

    Zeros are ranked with the others and then count 0 (Pratt).
    """
    ranks: Matrix = rankdata(np.abs(differences), axis=0) * np.sign(differences)
    return ranks


def signed_rank_p(differences: Matrix) -> NDArray[np.float64]:
    """Two-sided p of Wilcoxon's signed-rank test for each column.

    The test is exact for few subjects (all signs of the ranks, ties and zeros included) and for
    untied ranks up to 50 subjects; otherwise it is normal, corrected for ties and zeros, as in
    ``scipy.stats.wilcoxon``.

    Args:
        differences: (n, m).

    Returns:
        (m,); 1 where all differences are zero, NaN for one subject.
    """
    n, m = differences.shape
    p = np.ones(m)
    if n < 2:
        return np.full(m, np.nan)
    if n <= ALL_FLIPS:
        return _flipped(signed_ranks(differences), resamples=0, seed=0)
    magnitudes = np.sort(np.abs(differences), axis=0)
    tied = (magnitudes[0] == 0) | (np.diff(magnitudes, axis=0) == 0).any(axis=0)
    exact = ~tied & (n <= _EXACT)
    rest = ~exact & (magnitudes[-1] > 0)
    for chosen, method in ((exact, "exact"), (rest, "asymptotic")):
        if chosen.any():
            p[chosen] = wilcoxon(
                differences[:, chosen], axis=0, zero_method="pratt", method=method
            ).pvalue
    return p


def sign_flip_p(
    differences: Matrix, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Two-sided p of the mean difference among those with flipped signs.

    Few subjects: all flips. Otherwise random flips; the p then counts the data themselves and is
    never 0.

    Args:
        differences: (n, m).
        resamples: number of random flips.
        seed: of the flips.

    Returns:
        (m,); NaN for one subject.
    """
    if len(differences) < 2:
        return np.full(differences.shape[1], np.nan)
    return _flipped(differences, resamples=resamples, seed=seed)


def _flipped(values: Matrix, *, resamples: int, seed: int) -> NDArray[np.float64]:
    """Share of sign flips whose sum is at least as far from 0 as the data's."""
    n, m = values.shape
    enough = np.abs(values.sum(axis=0)) - ROUNDING * np.abs(values).sum(axis=0)
    p = np.empty(m)
    for part, sums in flipped_sums(values, resamples, seed):
        reached = (np.abs(sums) >= enough[part]).sum(axis=0)
        p[part] = reached / len(sums) if n <= ALL_FLIPS else (reached + 1) / (len(sums) + 1)
    return p
