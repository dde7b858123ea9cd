"""The difference at covariate 0: against statsmodels' regression, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from evaluator.statistics import compare_pairs, covariate_control, without_covariate


def test_intercept_and_slope_are_those_of_least_squares(monkeypatch):
    """Without the prior; the mean of pseudo-values is the bias-corrected jackknife estimate."""
    monkeypatch.setattr(covariate_control, "PRIOR_SPREAD", 0.0)
    rng = np.random.default_rng(0)
    x = rng.normal(0.1, 0.05, (25, 3))
    d = 0.02 + 0.7 * x + rng.normal(0, 0.03, x.shape)
    pseudo, slope = without_covariate(d, x)
    for column in range(3):
        design = sm.add_constant(x[:, column])
        fit = sm.OLS(d[:, column], design).fit()
        assert slope[column] == pytest.approx(fit.params[1], abs=1e-9)
        rows = np.arange(25)
        left_out = [sm.OLS(d[rows != i, column], design[rows != i]).fit().params[0] for i in rows]
        expected = 25 * fit.params[0] - 24 * np.array(left_out)
        assert np.allclose(pseudo[:, column], expected, atol=1e-9)


def test_a_difference_that_is_the_covariate_leaves_nothing():
    x = np.random.default_rng(1).normal(0.1, 0.04, (7, 2))
    pseudo, slope = without_covariate(x.copy(), x)
    assert np.allclose(pseudo, 0, atol=1e-12)
    assert np.allclose(slope, 1)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_covariate_without_spread_is_subtracted(n):
    d = np.random.default_rng(2).normal(0.2, 0.05, (n, 1))
    x = np.full((n, 1), 0.08)
    pseudo, slope = without_covariate(d, x)
    assert np.allclose(pseudo, d - x)
    assert slope[0] == pytest.approx(1)
    assert np.allclose(without_covariate(d, np.zeros((n, 1)))[0], d)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, -1.0])
@pytest.mark.parametrize("n", [10, 30])
def test_the_interval_holds_the_intercept(n, slope):
    rng = np.random.default_rng([n, int(10 * slope) + 20])
    x = rng.normal(0.1, 0.05, (n, 600))
    d = 0.03 + slope * x + rng.normal(0, 0.04, x.shape)
    pseudo, _ = without_covariate(d, x)
    result = compare_pairs(pseudo, np.zeros_like(pseudo), resamples=299)
    covered = ((result.low <= 0.03) & (result.high >= 0.03)).mean()
    assert covered >= 0.90
