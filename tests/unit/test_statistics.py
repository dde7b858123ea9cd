"""Each statistic against published examples and against computations that share no code with it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from evaluator.statistics import (
    bland_altman,
    compare_pairs,
    equivalence_p,
    fit_mixed_model,
    holm,
    mean_intervals,
    verdict,
)
from evaluator.statistics.hodges_lehmann import hodges_lehmann
from evaluator.statistics.intervals import bca_intervals
from evaluator.statistics.paired import signed_rank_p, signed_ranks
from evaluator.statistics.reml import fit_reml
from evaluator.statistics.resampling import draws

#: Hollander and Wolfe, Nonparametric Statistical Methods, 1973, table 3.1: Hamilton depression
#: scale of nine patients
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

#: Bland and Altman, Lancet 1986;327:307-310: peak flow by a large and a mini meter, l/min
LARGE = np.array(
    [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], float
)
MINI = np.array(
    [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], float
)

#: the example of pingouin's documentation of ``wilcoxon``, without its one pair of equal values
X = np.array([20, 22, 19, 20, 22, 18, 24, 20, 19, 24, 13], float)
Y = np.array([38, 37, 33, 29, 14, 12, 20, 22, 17, 25, 16], float)


def test_hollander_and_wolfe_example():
    result = compare_pairs(BEFORE[:, None], AFTER[:, None])
    assert result.p[0] == pytest.approx(0.0390625)  # twice the book's one-sided 0.0195
    assert result.shift[0] == pytest.approx(0.46, abs=5e-4)
    assert signed_ranks((BEFORE - AFTER)[:, None]).clip(min=0).sum() == 40


def test_pingouin_example():
    result = compare_pairs(X[:, None], Y[:, None])
    assert result.rank_biserial[0] == pytest.approx(-0.378788, abs=1e-6)
    assert result.p[0] == pytest.approx(stats.wilcoxon(X, Y).pvalue)


def test_bland_and_altman_example():
    result = bland_altman(LARGE, MINI)
    assert result.bias == pytest.approx(-2.1, abs=0.05)
    assert (result.lower, result.upper) == pytest.approx(
        (-78.1, 73.9), abs=0.1
    )  # the paper rounds 1.96 to 2: -79.7, 75.5
    assert result.bias_interval == pytest.approx((-22.0, 17.8), abs=0.1)
    assert result.lower_interval == pytest.approx((-114.3 + 1.6, -45.1 + 1.6), abs=0.6)


@given(
    st.lists(
        st.floats(-1e3, 1e3) | st.sampled_from([0.0, 0.25, -0.25, 1.0]), min_size=1, max_size=40
    )
)
@settings(max_examples=200, deadline=None)
def test_the_shift_is_the_median_of_all_walsh_averages(values):
    column = np.array(values)
    i, j = np.triu_indices(len(column))
    every = (column[i] + column[j]) / 2
    assert hodges_lehmann(column[:, None])[0] == pytest.approx(
        np.median(every), rel=0, abs=1e-15 * np.ptp(column)
    )


@pytest.mark.parametrize("n", [2, 5, 11, 13, 14, 30, 50, 51, 120])
@pytest.mark.parametrize("grain", [0, 1, 3])
def test_signed_rank_p_is_scipys(n, grain):
    differences = np.random.default_rng(n).normal(0.2, 1, (n, {11: 2, 13: 1}.get(n, 12)))
    if grain:
        differences = np.round(differences * grain)
    for column, p in zip(differences.T, signed_rank_p(differences), strict=True):
        if not column.any():
            assert p == 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says when a normal approximation is of few pairs
            assert p == pytest.approx(stats.wilcoxon(column, zero_method="pratt").pvalue, abs=1e-9)


class SameDraws(np.random.Generator):
    """A generator with the evaluator's draws, so scipy's bootstrap takes the same resamples."""

    def integers(self, low, high=None, size=None, **_):
        assert (low, high) == (0, size[1])
        return draws(size[1], size[0], 7)


# with fewer subjects a resample may equal the sample, and by rounding scipy counts it as larger or
# smaller
@pytest.mark.parametrize("n", [20, 30, 600])
def test_intervals_are_scipys_bca_at_the_expanded_level(n):
    columns = np.random.default_rng(n).gamma(2, size=(n, 3))
    level = 2 * ndtr(stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1))) - 1
    ends = bca_intervals(columns, (0.95,), resamples=1999, seed=7)[0]
    for column, low, high in zip(columns.T, *ends, strict=True):
        peer = stats.bootstrap(
            (column,),
            np.mean,
            n_resamples=1999,
            confidence_level=level,
            rng=SameDraws(np.random.PCG64()),
            axis=0,
        ).confidence_interval
        assert (low, high) == pytest.approx((peer.low, peer.high), rel=1e-9)


@pytest.mark.parametrize("n", [5, 8, 30])
def test_intervals_are_no_narrower_than_students_within_the_sample(n):
    columns = np.random.default_rng(n).exponential(size=(n, 50)) ** 2
    low, high = mean_intervals(columns)[0]
    bca = bca_intervals(columns, (0.95,), resamples=4999, seed=0)[0]
    student = stats.t.interval(0.95, n - 1, columns.mean(axis=0), stats.sem(columns, axis=0))
    assert low == pytest.approx(np.minimum(bca[0], np.maximum(student[0], columns.min(axis=0))))
    assert high == pytest.approx(np.maximum(bca[1], np.minimum(student[1], columns.max(axis=0))))
    assert (low >= columns.min(axis=0)).all()


def test_draws_do_not_depend_on_earlier_draws():
    column, many = np.arange(20.0)[:, None], np.arange(900.0)[:, None]
    first = bca_intervals(column, (0.95,), resamples=500, seed=1)
    bca_intervals(many, (0.95,), resamples=500, seed=1)
    assert np.array_equal(first, bca_intervals(column, (0.95,), resamples=500, seed=1))
    assert not np.array_equal(first, bca_intervals(column, (0.95,), resamples=500, seed=2))


def test_drawn_subjects_are_uniform():
    drawn = draws(7, 20_000, 0)
    assert stats.chisquare(np.bincount(drawn.ravel(), minlength=7)).pvalue > 1e-4


@pytest.mark.parametrize("n", [1, 2, 4, 5, 40])
def test_equal_differences_have_a_defined_outcome(n):
    first = np.random.default_rng(0).random((n, 1))
    result = compare_pairs(first + 0.25, first)
    assert result.difference[0] == pytest.approx(0.25)
    assert result.shift[0] == pytest.approx(0.25)
    if n >= 5:
        assert result.low[0] == result.high[0] == pytest.approx(0.25)
    else:
        assert np.isnan([result.low[0], result.high[0]]).all()
    nothing = compare_pairs(first, first)
    assert nothing.rank_biserial[0] == 0
    assert nothing.wins[0] == 0.5
    assert np.isnan(nothing.p[0]) if n == 1 else nothing.p[0] == 1
    p = equivalence_p(first - first, np.array([0.05]))[0]
    assert np.isnan(p) if n == 1 else p == 2.0 ** (1 - n)


def test_equivalence_is_statsmodels_tost():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 0.1, (25, 6)), rng.normal(0.49, 0.1, (25, 6))
    result = equivalence_p(first - second, np.full(6, 0.05))
    for i, p in enumerate(result):
        peer = ttost_paired(first[:, i], second[:, i], -0.05, 0.05)[0]
        assert p == pytest.approx(peer, abs=1e-9)
    assert np.isnan(equivalence_p(first - second, np.full(6, np.nan))).all()


def test_holm_is_statsmodels_and_skips_nan():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(0).random(30) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    holed = np.insert(p, [0, 10, 30], np.nan)
    assert holm(holed)[~np.isnan(holed)] == pytest.approx(holm(p))
    assert np.isnan(holm(np.array([np.nan, np.nan]))).all()
    assert holm(np.array([])).size == 0


def test_verdicts():
    assert verdict(0.01, 0.9) == "different"
    assert verdict(0.5, 0.01) == "equivalent"
    assert verdict(0.01, 0.01) == "different within margin"
    assert verdict(0.5, 0.5) == verdict(np.nan, np.nan) == "inconclusive"


def _long(n, k, missing, spread, seed=0):
    rng = np.random.default_rng(seed)
    subject, slope = rng.normal(0, 0.08, (n, 1)), rng.normal(0, spread, (n, 1))
    organs = np.linspace(0, 0.2, k)
    functional = 0.6 + organs + subject + rng.normal(0, 0.1, (n, k))
    structural = 0.65 + 1.2 * organs + subject + slope + rng.normal(0, 0.1, (n, k))
    missing_scores = rng.random((n, k)) < missing
    return np.where(missing_scores, np.nan, structural), np.where(
        missing_scores, np.nan, functional
    )


def _design(structural, functional):
    """Scores, fixed and random effects, and subjects of the joint model, in rows."""
    k = structural.shape[1]
    subject, organ = np.nonzero(~np.isnan(structural))
    y = np.concatenate([structural[subject, organ], functional[subject, organ]])
    modality = np.repeat([1.0, 0.0], len(subject))
    contrasts = np.vstack([np.eye(k - 1), -np.ones(k - 1)])[np.tile(organ, 2)]
    fixed = np.column_stack([np.ones_like(y), modality, contrasts, contrasts * modality[:, None]])
    random = np.column_stack([np.ones_like(y), modality])
    return y, fixed, random, np.tile(subject, 2)


@pytest.mark.parametrize(
    ("n", "k", "missing", "spread"), [(60, 13, 0.0, 0.05), (40, 4, 0.2, 0.05), (120, 6, 0.1, 0.02)]
)
def test_the_joint_model_is_statsmodels_mixedlm(n, k, missing, spread):
    structural, functional = _long(n, k, missing, spread)
    result = fit_mixed_model(structural, functional, resamples=99, seed=0)
    assert result.method == "mixed model"
    y, fixed, random, subject = _design(structural, functional)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = MixedLM(y, fixed, subject, exog_re=random).fit(reml=True)
    half = stats.t.ppf(0.975, n - 1) * peer.bse_fe[1]
    assert result.difference == pytest.approx(peer.fe_params[1], abs=1e-5)
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=2e-3)
    assert result.sd_residual == pytest.approx(np.sqrt(peer.scale), rel=2e-3)
    assert result.sd_subject == pytest.approx(np.sqrt(peer.cov_re[0, 0]), rel=5e-3)
    assert result.sd_modality == pytest.approx(np.sqrt(peer.cov_re[1, 1]), rel=2e-2, abs=1e-3)


@pytest.mark.parametrize(("n", "k", "missing"), [(12, 5, 0.0), (20, 4, 0.2), (30, 3, 0.1)])
def test_the_joint_model_is_statsmodels_at_the_same_variances(n, k, missing):
    """MixedLM stops at its optimum of fewer digits, so its formulas are taken at ours."""
    structural, functional = _long(n, k, missing, 0.05)
    result = fit_mixed_model(structural, functional, resamples=99, seed=0)
    y, fixed, random, subject = _design(structural, functional)
    fit = fit_reml(y, fixed, random, subject)
    same = subject[:, None] == subject
    variance = same * (random @ fit.random @ random.T) + fit.residual * np.eye(len(y))
    peer = sm.GLS(y, fixed, sigma=variance).fit()
    covariance = peer.normalized_cov_params
    assert fit.effects == pytest.approx(peer.params, abs=1e-9)
    assert fit.covariance == pytest.approx(covariance, abs=1e-9)
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(covariance[1, 1])
    assert (result.low, result.high) == pytest.approx(
        (peer.params[1] - half, peer.params[1] + half), abs=1e-9
    )
    assert result.p == pytest.approx(
        2 * stats.t.sf(abs(peer.params[1]) / np.sqrt(covariance[1, 1]), n - 1), abs=1e-9
    )
    interactions = np.eye(2 * k)[k + 1 :]
    wald = interactions @ peer.params
    statistic = wald @ np.linalg.solve(interactions @ covariance @ interactions.T, wald)
    expected = stats.f.sf(statistic / (k - 1), k - 1, (n - 1) * (k - 1))
    assert result.p_interaction == pytest.approx(expected, abs=1e-9)
    # and the variances are an optimum of statsmodels' criterion
    model = MixedLM(y, fixed, subject, exog_re=random)
    model.reml, model.cov_pen, model.fe_pen = True, None, None
    at_ours = MixedLMParams.from_components(cov_re=fit.random / fit.residual, fe_params=fit.effects)
    best = model.loglike(at_ours)
    for scale in (0.999, 1.001):
        for row, column in ((0, 0), (0, 1), (1, 1)):
            changed = (fit.random / fit.residual).copy()
            changed[row, column] *= scale
            changed[column, row] = changed[row, column]
            beside = MixedLMParams.from_components(cov_re=changed, fe_params=fit.effects)
            assert model.loglike(beside) <= best + 1e-9


def test_of_full_data_the_joint_test_is_the_paired_t_test_of_subjects_means():
    structural, functional = _long(25, 13, 0.0, 0.05)
    result = fit_mixed_model(structural, functional, resamples=99, seed=0, margin=0.05)
    means = structural.mean(axis=1), functional.mean(axis=1)
    t = stats.ttest_rel(*means)
    assert result.difference == pytest.approx((means[0] - means[1]).mean(), abs=1e-9)
    assert result.p == pytest.approx(t.pvalue, abs=1e-9)
    assert (result.low, result.high) == pytest.approx(tuple(t.confidence_interval()), abs=1e-9)
    assert result.p_equivalence == pytest.approx(ttost_paired(*means, -0.05, 0.05)[0], abs=1e-9)


def test_a_variance_of_zero_is_no_obstacle():
    structural, functional = _long(40, 5, 0.0, 0.0)
    result = fit_mixed_model(structural, functional, resamples=99, seed=0)
    assert result.method == "mixed model"
    assert result.sd_modality < 0.03


def test_reml_of_a_mean_is_the_variance_components_anova():
    """Balanced one-way layout: Searle, Casella and McCulloch, Variance Components, 1992, 3.6."""
    rng = np.random.default_rng(3)
    groups, size = 30, 6
    y = (rng.normal(0, 2, (groups, 1)) + rng.normal(0, 1, (groups, size))).ravel()
    result = fit_reml(
        y, np.ones((y.size, 1)), np.ones((y.size, 1)), np.repeat(np.arange(groups), size)
    )
    table = y.reshape(groups, size)
    within = table.var(axis=1, ddof=1).mean()
    between = size * table.mean(axis=1).var(ddof=1)
    assert result.converged
    assert result.residual == pytest.approx(within, rel=1e-9)
    assert result.random[0, 0] == pytest.approx((between - within) / size, rel=1e-9)
    assert result.effects[0] == pytest.approx(y.mean())


@pytest.mark.parametrize(
    ("structural", "functional", "reason"),
    [
        (
            np.random.default_rng(0).random((3, 4)),
            np.random.default_rng(1).random((3, 4)),
            "fewer than 5 subjects",
        ),
        (
            np.random.default_rng(0).random((9, 1)),
            np.random.default_rng(1).random((9, 1)),
            "one target",
        ),
        (np.zeros((9, 4)), np.zeros((9, 4)), "all differences are equal"),
        (np.full((9, 4), np.nan), np.zeros((9, 4)), "fewer than 5 subjects"),
        (np.zeros((0, 4)), np.zeros((0, 4)), "fewer than 5 subjects"),
        (
            np.where(np.eye(5) > 0, 0.7, np.nan),
            np.full((5, 5), 0.5) + 0.1 * np.eye(5),
            "in more than one subject",
        ),
    ],
)
def test_ranks_replace_a_mixed_model_that_cannot_be_fitted(structural, functional, reason):
    result = fit_mixed_model(structural, functional, resamples=99, seed=0)
    assert result.method == "ranks"
    assert reason in result.reason
    estimates = [result.difference, result.low, result.p, result.p_interaction]
    assert all(value is None or np.isfinite(value) for value in estimates)


def test_the_fallback_is_sign_flips_and_friedman(monkeypatch):
    structural, functional = _long(30, 5, 0.0, 0.05)
    monkeypatch.setattr(
        "evaluator.statistics.mixed_model._mixed", lambda *_: "the mixed model did not converge"
    )
    result = fit_mixed_model(structural, functional, resamples=999, seed=0)
    differences = structural - functional
    assert (result.method, result.reason) == ("ranks", "the mixed model did not converge")
    assert result.difference == pytest.approx(differences.mean())
    signs = np.random.default_rng(0).choice([-1, 1], (200_000, 30))
    means = differences.mean(axis=1)
    flipped = np.mean(np.abs(signs @ means) >= abs(means.sum()))
    assert result.p == pytest.approx(flipped, abs=4 * np.sqrt(flipped / 200_000) + 1e-5)
    assert result.p_interaction == pytest.approx(stats.friedmanchisquare(*differences.T).pvalue)
