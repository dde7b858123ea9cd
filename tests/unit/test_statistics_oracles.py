"""Figures beside scipy's, statsmodels' and plain loops, to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from evaluator.statistics import (
    bland_altman,
    compare_pairs,
    paired_failures,
    without_covariate,
)
from evaluator.statistics.covariate_control import PRIOR_SPREAD
from evaluator.statistics.failures import failure_equivalence_p, failure_intervals
from evaluator.statistics.sample_size import spread, subjects_for_tests, subjects_needed


def _paired(n, m=6, seed=0):
    rng = np.random.default_rng([seed, n])
    level = rng.normal(0.7, 0.1, (n, m))
    return level + rng.normal(0.02, 0.05, (n, m)), level + rng.normal(0, 0.05, (n, m))


@pytest.mark.parametrize("n", [6, 9, 40])
def test_effect_sizes_are_those_of_scipys_ranks(n):
    first, second = _paired(n)
    result = compare_pairs(first, second, resamples=9)
    for column in range(first.shape[1]):
        difference = first[:, column] - second[:, column]
        smaller = stats.wilcoxon(difference).statistic
        expected = 1 - 2 * smaller / (n * (n + 1) / 2)
        assert abs(result.rank_biserial[column]) == pytest.approx(expected, abs=1e-9)
        wins = stats.mannwhitneyu(difference, [0.0]).statistic / n
        assert result.wins[column] == pytest.approx(wins, abs=1e-9)


@pytest.mark.parametrize("n", [5, 17, 60])
def test_the_interval_of_the_bias_is_statsmodels(n):
    measured, reference = (values[:, 0] for values in _paired(n))
    result = bland_altman(measured, reference)
    described = DescrStatsW(measured - reference)
    assert result.bias == pytest.approx(described.mean, abs=1e-9)
    assert result.bias_interval == pytest.approx(described.tconfint_mean(), abs=1e-9)
    deviation = np.sqrt(described.var_ddof(1))
    assert result.upper == pytest.approx(described.mean + 1.96 * deviation, abs=1e-9)
    error = deviation * np.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    around = stats.t.interval(0.95, n - 1, result.upper, error)
    assert result.upper_interval == pytest.approx(around, abs=1e-9)


@pytest.mark.parametrize("n", [8, 30, 100])
def test_at_the_p_of_equivalence_the_interval_touches_the_margin(n):
    first, second = _paired(n)
    nothing = np.zeros(first.shape, bool)
    failed = nothing.copy()
    failed[0] = True
    parts = paired_failures(first, np.where(failed, 0, second), nothing, failed)
    differences = first - np.where(failed, 0, second)
    low, high = failure_intervals(differences, parts, (0.95,))[0]
    p = failure_equivalence_p(differences, parts, np.maximum(-low, high))
    assert p == pytest.approx(np.full(first.shape[1], 0.025), abs=1e-9)


def test_the_spread_is_numpys():
    first, second = _paired(25)
    observed, low, high = spread(first - second)
    assert observed == pytest.approx(np.std(first - second, axis=0, ddof=1), abs=1e-12)
    assert (low < observed).all()
    assert (observed < high).all()


@pytest.mark.parametrize("tests", [1, 13, 78])
def test_the_stated_number_of_subjects_has_statsmodels_power(tests):
    deviations = np.array([0.03, 0.1, 0.25])
    numbers = subjects_needed(deviations, np.full(3, 0.05), tests)
    for deviation, number in zip(deviations, numbers, strict=True):
        power = TTestPower().power(0.05 / deviation, number, 0.05 / tests)
        before = TTestPower().power(0.05 / deviation, number - 1, 0.05 / tests)
        assert power >= 0.79
        assert before < 0.81 or number == subjects_for_tests(tests)


@pytest.mark.parametrize("tests", [1, 5, 78, 1000])
def test_the_fewest_subjects_for_a_family_by_counting(tests):
    enough = subjects_for_tests(tests)
    assert tests * 2.0 ** (1 - enough) <= 0.05 < tests * 2.0 ** (2 - enough)


@pytest.mark.parametrize("n", [8, 12])
def test_the_controlled_difference_is_that_of_weighted_regressions_and_its_p_scipys(n):
    """The prior is one more observation on the line of slope 1, for each sum of leave-one-out."""
    rng = np.random.default_rng(n)
    x = rng.normal(0.08, 0.03, n)
    d = 0.02 + 0.6 * x + rng.normal(0, 0.02, n)

    def intercept(rows):
        count = rows.sum()
        weight = count * (PRIOR_SPREAD * x[rows].mean()) ** 2
        # as two observations beside the mean, on the line of slope 1 through the means
        beside = np.array([-1.0, 1.0]) * np.sqrt(weight / 2)
        places = np.concatenate([x[rows], x[rows].mean() + beside])
        values = np.concatenate([d[rows], d[rows].mean() + beside])
        return sm.OLS(values, sm.add_constant(places)).fit().params

    every = np.ones(n, bool)
    left_out = [intercept(np.arange(n) != i)[0] for i in range(n)]
    expected = n * intercept(every)[0] - (n - 1) * np.array(left_out)
    pseudo, slope = without_covariate(d[:, None], x[:, None])
    assert slope[0] == pytest.approx(intercept(every)[1], abs=1e-9)
    assert pseudo[:, 0] == pytest.approx(expected, abs=1e-9)
    result = compare_pairs(pseudo, np.zeros_like(pseudo), resamples=99)
    flips = stats.permutation_test(
        (pseudo[:, 0],), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert result.p_sign_flip[0] == pytest.approx(flips.pvalue, abs=1e-9)
