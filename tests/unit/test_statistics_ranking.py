"""Rankings against plain loops, and what a ranking must and must not hang on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluator.statistics import rank_models
from evaluator.statistics.ranking import AGGREGATE_FIRST, RANK_FIRST, kendall_tau


def test_the_two_orders_by_plain_loops():
    chance = np.random.default_rng(0)
    scores = chance.random((11, 3, 4))
    weights = np.array([1.0, 2.0, 0.5])
    by_task = [stats.rankdata(-scores[:, t].mean(axis=0)) for t in range(3)]
    by_subject = [
        np.mean([stats.rankdata(-scores[s, t]) for s in range(11)], axis=0) for t in range(3)
    ]
    found = rank_models(scores, weights, resamples=50)
    assert found.orders[AGGREGATE_FIRST].mean_rank == pytest.approx(
        np.average(by_task, axis=0, weights=weights)
    )
    assert found.orders[RANK_FIRST].mean_rank == pytest.approx(
        np.average(by_subject, axis=0, weights=weights)
    )
    for order in found.orders.values():
        assert list(order.place) == list(stats.rankdata(order.mean_rank, method="min"))
        assert order.distribution.shape == (4, 4)
        assert order.distribution.sum(axis=1) == pytest.approx(1)


def test_the_orders_may_disagree():
    """One model wins by little for most subjects, and loses by much for one: the mean says the other is better."""
    first = np.array([0.81, 0.81, 0.81, 0.81, 0.0])
    second = np.array([0.80, 0.80, 0.80, 0.80, 0.80])
    found = rank_models(np.stack([first, second], axis=1)[:, None, :], np.ones(1))
    assert list(found.orders[AGGREGATE_FIRST].place) == [2, 1]
    assert list(found.orders[RANK_FIRST].place) == [1, 2]
    assert found.tau_between == pytest.approx(-1)


def test_clear_differences_are_stable_and_ties_are_ties():
    chance = np.random.default_rng(1)
    clear = chance.normal(0, 0.01, (30, 5, 4)) + np.array([0.4, 0.6, 0.2, 0.8])
    found = rank_models(clear, np.ones(5))
    for order in found.orders.values():
        assert list(order.place) == [3, 2, 4, 1]
        assert np.all(order.tau == pytest.approx(1))
        assert order.distribution[3, 0] == 1
    assert np.all(found.p_holm[np.triu_indices(4, 1)] < 0.001)
    tied = rank_models(np.full((9, 2, 3), 0.5), np.ones(2))
    assert tied.tau_between is None
    for order in tied.orders.values():
        assert list(order.place) == [1, 1, 1]
        assert np.isnan(order.tau).all()
    assert np.all(tied.p_holm[np.triu_indices(3, 1)] == 1)


def test_what_a_model_lacks_is_left_out_for_all():
    chance = np.random.default_rng(2)
    scores = chance.random((12, 3, 3))
    holed = scores.copy()
    holed[4, 1, 2] = np.nan
    holed[:, 2, 0] = np.nan
    found = rank_models(holed, np.ones(3), resamples=10)
    assert found.tasks == 2
    kept = np.delete(scores[:, 1], 4, axis=0)
    by_task = [stats.rankdata(-scores[:, 0].mean(axis=0)), stats.rankdata(-kept.mean(axis=0))]
    assert found.orders[AGGREGATE_FIRST].mean_rank == pytest.approx(np.mean(by_task, axis=0))
    with pytest.raises(ValueError, match="no subject"):
        rank_models(np.full((3, 2, 2), np.nan), np.ones(2))


@pytest.mark.parametrize("models", [1, 2, 50])
def test_any_number_of_models(models):
    found = rank_models(np.random.default_rng(3).random((6, 4, models)), np.ones(4), resamples=20)
    for order in found.orders.values():
        assert min(order.place) == 1
        assert order.distribution.sum() == pytest.approx(models)


def test_the_same_seed_gives_the_same_ranking():
    scores = np.random.default_rng(4).random((10, 3, 4))
    one, two, other = (rank_models(scores, np.ones(3), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.orders[RANK_FIRST].distribution, two.orders[RANK_FIRST].distribution)
    assert not np.array_equal(
        one.orders[RANK_FIRST].distribution, other.orders[RANK_FIRST].distribution
    )


def test_tau_is_scipys_tau_b():
    chance = np.random.default_rng(5)
    one, others = (
        chance.integers(0, 4, 9).astype(float),
        chance.integers(0, 4, (20, 9)).astype(float),
    )
    for tau, other in zip(kendall_tau(one, others), others, strict=True):
        assert tau == pytest.approx(stats.kendalltau(one, other, variant="b").statistic)
