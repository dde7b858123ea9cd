"""Rankings against plain loops, their stability and their ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluator.statistics import rank_models
from evaluator.statistics.ranking import AGGREGATE_FIRST, RANK_FIRST, kendall_tau


def test_the_two_orders_by_plain_loops():
    rng = np.random.default_rng(0)
    scores = rng.random((11, 3, 4))
    weights = np.array([1.0, 2.0, 0.5])
    by_task = [stats.rankdata(-scores[:, t].mean(axis=0)) for t in range(3)]
    ranks = np.array([stats.rankdata(-subject, axis=1) for subject in scores])
    by_subject = ranks.mean(axis=0)
    result = rank_models(scores, weights, resamples=50)
    assert result.orders[AGGREGATE_FIRST].mean_rank == pytest.approx(
        np.average(by_task, axis=0, weights=weights)
    )
    assert result.orders[RANK_FIRST].mean_rank == pytest.approx(
        np.average(by_subject, axis=0, weights=weights)
    )
    for order in result.orders.values():
        assert list(order.place) == list(stats.rankdata(order.mean_rank, method="min"))
        assert order.distribution.shape == (4, 4)
        assert order.distribution.sum(axis=1) == pytest.approx(1)


def test_the_orders_may_disagree():
    """One model wins narrowly for most subjects and loses by far for one: its mean is lower."""
    first = np.array([0.81, 0.81, 0.81, 0.81, 0.0])
    second = np.array([0.80, 0.80, 0.80, 0.80, 0.80])
    result = rank_models(np.stack([first, second], axis=1)[:, None, :], np.ones(1))
    assert list(result.orders[AGGREGATE_FIRST].place) == [2, 1]
    assert list(result.orders[RANK_FIRST].place) == [1, 2]
    assert result.tau_between == pytest.approx(-1)


def test_clear_differences_are_stable_and_ties_are_ties():
    rng = np.random.default_rng(1)
    clear = rng.normal(0, 0.01, (30, 5, 4)) + np.array([0.4, 0.6, 0.2, 0.8])
    result = rank_models(clear, np.ones(5))
    for order in result.orders.values():
        assert list(order.place) == [3, 2, 4, 1]
        assert np.all(order.tau == pytest.approx(1))
        assert order.distribution[3, 0] == 1
    assert np.all(result.p_holm[np.triu_indices(4, 1)] < 0.001)
    tied = rank_models(np.full((9, 2, 3), 0.5), np.ones(2))
    assert tied.tau_between is None
    for order in tied.orders.values():
        assert list(order.place) == [1, 1, 1]
        assert np.isnan(order.tau).all()
    assert np.all(tied.p_holm[np.triu_indices(3, 1)] == 1)


def test_a_task_without_a_score_is_excluded_for_all_models():
    rng = np.random.default_rng(2)
    scores = rng.random((12, 3, 3))
    holed = scores.copy()
    holed[4, 1, 2] = np.nan
    holed[:, 2, 0] = np.nan
    result = rank_models(holed, np.ones(3), resamples=10)
    assert result.tasks == 2
    complete = np.delete(scores[:, 1], 4, axis=0)
    by_task = [stats.rankdata(-scores[:, 0].mean(axis=0)), stats.rankdata(-complete.mean(axis=0))]
    assert result.orders[AGGREGATE_FIRST].mean_rank == pytest.approx(np.mean(by_task, axis=0))
    with pytest.raises(ValueError, match="no subject"):
        rank_models(np.full((3, 2, 2), np.nan), np.ones(2))


@pytest.mark.parametrize("models", [1, 2, 50])
def test_any_number_of_models(models):
    result = rank_models(np.random.default_rng(3).random((6, 4, models)), np.ones(4), resamples=20)
    for order in result.orders.values():
        assert min(order.place) == 1
        assert order.distribution.sum() == pytest.approx(models)


def test_the_same_seed_gives_the_same_ranking():
    scores = np.random.default_rng(4).random((10, 3, 4))
    first, second, third = (rank_models(scores, np.ones(3), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(
        first.orders[RANK_FIRST].distribution, second.orders[RANK_FIRST].distribution
    )
    assert not np.array_equal(
        first.orders[RANK_FIRST].distribution, third.orders[RANK_FIRST].distribution
    )


def test_tau_is_scipys_tau_b():
    rng = np.random.default_rng(5)
    first, others = (
        rng.integers(0, 4, 9).astype(float),
        rng.integers(0, 4, (20, 9)).astype(float),
    )
    for tau, third in zip(kendall_tau(first, others), others, strict=True):
        assert tau == pytest.approx(stats.kendalltau(first, third, variant="b").statistic)
