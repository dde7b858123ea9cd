"""The sign-flip test, and ties that rounding would hide."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluator.statistics import compare_pairs, smallest_p
from evaluator.statistics.sign_flips import sign_flip_p, without_rounding


def test_sign_flips_are_scipys_for_few_subjects():
    few = np.random.default_rng(0).normal(0.3, 1, (9, 4))
    for column, p in zip(few.T, sign_flip_p(few), strict=True):
        exact = stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert p == pytest.approx(exact.pvalue, abs=1e-9)


@pytest.mark.parametrize("n", [14, 17])
def test_sign_flips_are_all_flips_within_a_hundredth(n):
    differences = np.random.default_rng(n).normal(0.4, 1, (n, 6))
    signs = (np.arange(2**n)[:, None] >> np.arange(n) & 1) * 2 - 1
    for column, p in zip(differences.T, sign_flip_p(differences), strict=True):
        listed = np.mean(np.abs(signs @ column) >= abs(column.sum()) - 1e-9)
        assert p == pytest.approx(listed, rel=0.01)


@pytest.mark.parametrize(("up", "down", "zeros"), [(15, 5, 0), (30, 12, 8), (60, 90, 0)])
def test_equal_magnitudes_give_the_sign_test(up, down, zeros):
    differences = np.concatenate([np.full(up, 0.1), np.full(down, -0.1), np.zeros(zeros)])
    exact = stats.binomtest(up, up + down).pvalue
    assert sign_flip_p(differences[:, None])[0] == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("n", [5, 13, 14, 40, 200])
def test_no_p_is_below_the_smallest_one(n):
    differences = np.random.default_rng(0).uniform(1, 2, (n, 1))
    assert sign_flip_p(differences)[0] == pytest.approx(smallest_p(n), rel=1e-6)


def test_rounding_is_no_difference():
    first = np.full((20, 1), 0.1) * 3
    second = np.full((20, 1), 0.3)
    assert first[0, 0] != second[0, 0]
    result = compare_pairs(first, second)
    assert result.p[0] == 1
    assert result.p_sign_flip[0] == 1


@pytest.mark.parametrize("n", [12, 30])
def test_differences_that_are_equal_but_for_rounding_are_tied(n):
    """Relative volume errors of 10 and 20 %: 8 of 12 subjects better, all by 0.1 (scipy 26082)."""
    levels = np.random.default_rng(0).choice([0.1, 0.2, 0.3, 0.7, 1.1], n)
    exact = np.resize([0.1, 0.1, -0.1], n)
    first, second = (levels + exact)[:, None], levels[:, None]
    assert len(np.unique(np.abs(first - second))) > 1
    result = compare_pairs(first, second)
    assert result.p[0] == pytest.approx(
        stats.wilcoxon(np.sign(exact), zero_method="pratt").pvalue, abs=1e-9
    )
    assert result.rank_biserial[0] == pytest.approx(1 / 3)
    assert result.p_sign_flip[0] == pytest.approx(stats.binomtest(n // 3, n).pvalue, abs=1e-9)


def test_differences_near_zero_are_zero_and_others_are_kept():
    differences = np.array([[1e-13], [0.5], [-0.5 - 1e-13], [-0.2]])
    merged = without_rounding(differences, np.array([1.0]))
    assert merged[:, 0] == pytest.approx([0, 0.5, -0.5, -0.2], abs=1e-12)
    assert merged[0, 0] == 0
    assert merged[1, 0] == -merged[2, 0]
