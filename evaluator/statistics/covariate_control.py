"""A paired difference at the value 0 of a covariate, as one number for each subject.

The difference d of a subject is regressed on its covariate x: d = a + b x. The intercept a is the
mean difference where the covariate is 0 (analysis of covariance). The jackknife's pseudo-values of
a, one for each subject, have the mean and the spread of the estimate, so every statistic of paired
differences applies to them, and allows for the slope having been estimated (Tukey 1958; Miller,
Biometrika 1974;61:1-15).

A covariate that hardly varies does not determine a slope. Then b is drawn to 1: the covariate is
subtracted as it is. The weight of that prior is that of subjects whose covariates spread by 2 % of
their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

#: spread of a covariate, relative to its mean, that weighs as much as the prior slope of 1
PRIOR_SPREAD = 0.02
#: fewer subjects do not determine a slope
FEWEST_FOR_SLOPE = 4


def without_covariate(differences: Matrix, covariate: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """Pseudo-values of the mean difference at covariate 0, and the slopes.

    Args:
        differences: (n, m), of n subjects; no value may be missing.
        covariate: (n, m), in the same unit.

    Returns:
        (n, m) pseudo-values, whose mean estimates the intercept, and (m,) slopes. With fewer than
        ``FEWEST_FOR_SLOPE`` subjects the slope is 1 and the covariate is subtracted.
    """
    n, m = differences.shape
    if n < FEWEST_FOR_SLOPE:
        return differences - covariate, np.ones(m)
    sums = [
        values.sum(axis=0)
        for values in (covariate, differences, covariate**2, covariate * differences)
    ]
    intercept, slope = _intercept(n, *sums)
    left_out = [
        total - values
        for total, values in zip(
            sums,
            (covariate, differences, covariate**2, covariate * differences),
            strict=True,
        )
    ]
    others, _ = _intercept(n - 1, *left_out)
    pseudo: Matrix = n * intercept - (n - 1) * others
    return pseudo, slope


def _intercept(n: int, x: Matrix, d: Matrix, xx: Matrix, xd: Matrix) -> tuple[Matrix, Matrix]:
    """Intercept and slope from the sums of n subjects."""
    mean_x, mean_d = x / n, d / n
    spread, common = xx - n * mean_x**2, xd - n * mean_x * mean_d
    weight = n * (PRIOR_SPREAD * mean_x) ** 2
    total = spread + weight
    flat = total <= 1e-15
    slope = np.where(flat, 1.0, (common + weight) / np.where(flat, 1.0, total))
    return mean_d - slope * mean_x, slope
