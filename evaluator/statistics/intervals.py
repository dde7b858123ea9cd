"""Confidence intervals of means over subjects: the bias-corrected and accelerated (BCa) bootstrap.

BCa: Efron, J Am Stat Assoc 1987;82:171-185, as in ``scipy.stats.bootstrap``, for many columns at
once. The bootstrap estimates the spread of n subjects with a divisor of n and without t: it is too
narrow for few subjects. So the level is expanded to the one at which a normal sample's interval has
the width of the t interval: Hesterberg, Am Stat 2015;69:371-386, section 5.

A few large differences, as failures make them, still leave BCa too narrow, because they bias its
acceleration. Where Student's interval reaches further, its end is used, but never beyond the
sample's range. Failures that were not seen are beyond any resampling; where the interval of
``evaluator.statistics.failures`` reaches further, its end is used (numbers in docs/statistics.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from evaluator.statistics.failures import failure_intervals
from evaluator.statistics.resampling import RESAMPLES, resampled_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.statistics.failures import FailurePart
    from evaluator.statistics.resampling import Matrix

#: with fewer subjects no interval is given: the bootstrap has too few distinct samples
FEWEST = 5


def mean_intervals(
    columns: Matrix,
    levels: Sequence[float] = (0.95,),
    *,
    failures: Sequence[FailurePart] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Matrix:
    """Intervals of the columns' means.

    They are those of ``bca_intervals``, and no narrower than Student's. With failures they are no
    narrower than those of ``failure_intervals`` either. A column of equal values without failures
    has that value as both ends.

    Args:
        columns: (n, m), of n subjects.
        levels: confidence levels.
        failures: kinds of failure that the columns contain; empty: the spread that was observed
            is taken as complete.
        resamples: number of bootstrap samples.
        seed: of the bootstrap.

    Returns:
        (levels, 2, m) lower and upper ends; NaN throughout where n < ``FEWEST``.
    """
    n, m = columns.shape
    if n < FEWEST:
        return np.full((len(levels), 2, m), np.nan)
    ends = bca_intervals(columns, levels, resamples=resamples, seed=seed)
    mean, error = columns.mean(axis=0), columns.std(axis=0, ddof=1) / np.sqrt(n)
    for i, level in enumerate(levels):
        reach = stdtrit(n - 1, (1 + level) / 2) * error
        ends[i, 0] = np.minimum(ends[i, 0], np.maximum(mean - reach, columns.min(axis=0)))
        ends[i, 1] = np.maximum(ends[i, 1], np.minimum(mean + reach, columns.max(axis=0)))
    flat = np.ptp(columns, axis=0) <= 1e-12 * np.abs(columns).max(axis=0)
    ends[:, :, flat] = mean[flat]
    return allow_for_failures(ends, columns, levels, failures)


def allow_for_failures(
    ends: Matrix, columns: Matrix, levels: Sequence[float], failures: Sequence[FailurePart]
) -> Matrix:
    """Widen intervals to those of ``failure_intervals`` where these reach further.

    Args:
        ends: (levels, 2, m) of intervals by the observed spread.
        columns: (n, m) that they are the intervals of.
        levels: their confidence levels.
        failures: as in ``mean_intervals``; if empty the ends are returned.
    """
    if not failures or len(columns) < FEWEST:
        return ends
    allowed = failure_intervals(columns, failures, levels)
    lower = np.minimum(ends[:, 0], allowed[:, 0])
    upper = np.maximum(ends[:, 1], allowed[:, 1])
    return np.stack([lower, upper], axis=1)


def bca_intervals(columns: Matrix, levels: Sequence[float], *, resamples: int, seed: int) -> Matrix:
    """Expanded BCa intervals of the columns' means, as in ``mean_intervals``; n at least 2."""
    n, m = columns.shape
    ends = np.empty((len(levels), 2, m))
    means = columns.mean(axis=0)
    centred = columns - means
    scale = np.abs(columns).max(axis=0, initial=0.0)
    acceleration = _acceleration(centred)
    for part, samples in resampled_means(centred, resamples, seed):
        samples.sort(axis=0)
        slack = 1e-12 * scale[part]
        below = (samples < -slack).mean(axis=0)
        up_to = (samples <= slack).mean(axis=0)
        bias = ndtri((below + up_to) / 2)
        for i, level in enumerate(levels):
            for side, share in enumerate(((1 - level) / 2, (1 + level) / 2)):
                shifted = bias + stdtrit(n - 1, share) * np.sqrt(n / (n - 1))
                with np.errstate(invalid="ignore"):
                    adjusted = ndtr(bias + shifted / (1 - acceleration[part] * shifted))
                ends[i, side, part] = _quantiles(samples, adjusted) + means[part]
    return ends


def _acceleration(centred: Matrix) -> Matrix:
    """Acceleration of the mean: the jackknife's influences are the centred values themselves."""
    cubes, squares = (centred**3).sum(axis=0), (centred**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(squares > 0, cubes / (6 * squares**1.5), 0.0)


def _quantiles(ordered: Matrix, shares: Matrix) -> Matrix:
    """The quantile of each sorted column at its share, linear between order statistics."""
    rank = np.clip(np.nan_to_num(shares, nan=0.5), 0, 1) * (len(ordered) - 1)
    lower = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, len(ordered) - 1)
    columns = np.arange(ordered.shape[1])
    low, high = ordered[lower, columns], ordered[upper, columns]
    quantiles: Matrix = low + (high - low) * (rank - lower)
    return quantiles
