"""Paired differences of subjects: size, uncertainty and tests of each column.

The unit is the subject; a column is one comparison (an organ and a model). Two quantities are
estimated: the mean difference (``difference``, its intervals, ``p_sign_flip``) and the difference
of a typical subject (``shift``, ``p``, ``rank_biserial``, ``wins``), which a few failures do not
move. Sources: Wilcoxon's signed-rank test with Pratt's treatment of zeros, J Am Stat Assoc
1959;54:655-667; the matched-pairs rank-biserial correlation, Kerby, Compr Psychol 2014;3:11.IT.3.1,
and King, Rosopa and Minium, Statistical Reasoning 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from evaluator.statistics.hodges_lehmann import hodges_lehmann
from evaluator.statistics.intervals import allow_for_failures, mean_intervals
from evaluator.statistics.resampling import ALL_FLIPS, RESAMPLES
from evaluator.statistics.sign_flips import all_flips_p, sign_flip_p, without_rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.statistics.failures import FailurePart
    from evaluator.statistics.resampling import Matrix

#: up to so many subjects the null distribution of untied ranks is exact
_EXACT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Statistics of m columns, each array (m,); NaN where n is too small for a statistic."""

    n: int
    difference: NDArray[np.float64]
    #: interval of the mean; with failures it allows for those that were not seen
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    low_90: NDArray[np.float64]
    high_90: NDArray[np.float64]
    #: the same by the observed spread alone: as if failures were as rare as in the sample
    low_observed: NDArray[np.float64]
    high_observed: NDArray[np.float64]
    low_90_observed: NDArray[np.float64]
    high_90_observed: NDArray[np.float64]
    shift: NDArray[np.float64]
    rank_biserial: NDArray[np.float64]
    wins: NDArray[np.float64]
    p: NDArray[np.float64]
    p_sign_flip: NDArray[np.float64]


def compare_pairs(
    first: Matrix,
    second: Matrix,
    *,
    failures: Sequence[FailurePart] = (),
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Compare the scores of subjects by their differences, first - second.

    Intervals are those of ``mean_intervals``. One subject has no p, and few subjects have no
    interval. Differences that are equal but for rounding are tied.

    Args:
        first: (n, m) scores of n subjects, at least one; no value may be missing. A failure is
            the value that it counts as.
        second: (n, m), likewise.
        failures: kinds of failure, as ``paired_failures`` gives them; empty: no allowance is made
            for failures that were not seen.
        confidence: level of the interval ``low`` to ``high``.
        resamples: number of bootstrap samples.
        seed: of the bootstrap.
    """
    scale = np.maximum(np.abs(first), np.abs(second)).max(axis=0)
    differences = without_rounding(first - second, scale)
    levels = (confidence, 0.90)
    observed = mean_intervals(differences, levels, resamples=resamples, seed=seed)
    ends = allow_for_failures(observed, differences, levels, failures)
    ranks = signed_ranks(differences)
    n = len(differences)
    return Paired(
        n=n,
        difference=differences.mean(axis=0),
        low=ends[0, 0],
        high=ends[0, 1],
        low_90=ends[1, 0],
        high_90=ends[1, 1],
        low_observed=observed[0, 0],
        high_observed=observed[0, 1],
        low_90_observed=observed[1, 0],
        high_90_observed=observed[1, 1],
        shift=hodges_lehmann(differences),
        rank_biserial=ranks.sum(axis=0) / (n * (n + 1) / 2),
        wins=((differences > 0) + (differences == 0) / 2).mean(axis=0),
        p=signed_rank_p(differences),
        p_sign_flip=sign_flip_p(differences),
    )


def signed_ranks(differences: Matrix) -> Matrix:
    """Ranks of the magnitudes with the signs of the differences, (n, m).

    Zeros are ranked with the others and then count 0 (Pratt).
    """
    ranks: Matrix = scipy.stats.rankdata(np.abs(differences), axis=0) * np.sign(differences)
    return ranks


def signed_rank_p(differences: Matrix) -> NDArray[np.float64]:
    """Two-sided p of Wilcoxon's signed-rank test for each column.

    The test is exact for few subjects (all signs of the ranks, ties and zeros included) and for
    untied ranks up to 50 subjects; otherwise it is normal, corrected for ties and zeros, as in
    ``scipy.stats.wilcoxon``.

    Args:
        differences: (n, m); magnitudes that are equal but for rounding must be equal, see
            ``without_rounding``.

    Returns:
        (m,); 1 where all differences are zero, NaN for one subject.
    """
    n, m = differences.shape
    p = np.ones(m)
    if n < 2:
        return np.full(m, np.nan)
    if n <= ALL_FLIPS:
        return all_flips_p(signed_ranks(differences))
    magnitudes = np.sort(np.abs(differences), axis=0)
    tied = (magnitudes[0] == 0) | (np.diff(magnitudes, axis=0) == 0).any(axis=0)
    exact = ~tied & (n <= _EXACT)
    rest = ~exact & (magnitudes[-1] > 0)
    for chosen, method in ((exact, "exact"), (rest, "asymptotic")):
        if chosen.any():
            p[chosen] = scipy.stats.wilcoxon(
                differences[:, chosen], axis=0, zero_method="pratt", method=method
            ).pvalue
    return p
