"""Ranking of models by both orders of aggregation, and its stability over subjects.

Aggregate-then-rank: mean over subjects, models ranked in each task, weighted mean of these ranks.
Rank-then-aggregate: models ranked for each subject in each task, weighted mean of all these ranks.
The two orders may disagree, and a ranking may depend on few subjects: Maier-Hein et al., Nat Commun
2018;9:5217; Wiesenfarth et al., Sci Rep 2021;11:2369. A task is one target, modality and metric. A
subject is resampled with all of its tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from evaluator.statistics.equivalence import holm
from evaluator.statistics.paired import signed_rank_p
from evaluator.statistics.sign_flips import without_rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

AGGREGATE_FIRST, RANK_FIRST = "aggregate-then-rank", "rank-then-aggregate"
RESAMPLES = 1000
#: decimals of scores that are ranked
_DIGITS = 10
#: resamples whose ranks are made at once
_CHUNK = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRanking:
    """The ranking of m models by one order of aggregation."""

    #: (m,) weighted mean rank, 1 is best
    mean_rank: NDArray[np.float64]
    #: (m,) rank position by it; ties share the better one
    place: NDArray[np.int64]
    #: (m, m) share of the resamples in which model i has place j + 1
    distribution: Matrix
    #: (resamples,) Kendall's tau-b of each resample's mean ranks to the ranks of all data;
    #: NaN: only ties
    tau: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The rankings by both orders, their agreement, and the tests between models."""

    subjects: int
    tasks: int
    #: by name of the order
    orders: dict[str, OrderRanking]
    #: Kendall's tau-b between the two orders; None where either is all ties
    tau_between: float | None
    #: (m, m) p of equal weighted mean ranks of a pair over subjects (signed-rank), adjusted by Holm
    #: over all pairs of models that are in the family, and over the other pairs by themselves
    p_holm: Matrix


def rank_models(
    scores: Any,
    weights: NDArray[np.float64],
    *,
    outside: NDArray[np.bool_] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Ranking:
    """Rank models by their scores.

    A task of a subject in which a model has no value (NaN) is excluded for all models.

    Args:
        scores: (n, k, m) of n subjects, k tasks and m models; higher is better.
        weights: (k,), of each task.
        outside: (m,) models that are ranked and are in no family of tests with others.
        resamples: number of bootstrap samples of the subjects.
        seed: of the bootstrap.

    Raises:
        ValueError: no subject has a score of every model in any task.
    """
    present = ~np.isnan(scores).any(axis=2)
    subjects, tasks = present.any(axis=1), present.any(axis=0)
    if not present.any():
        raise ValueError("no subject has a score of every model in any task")
    scores, present, weights = (
        scores[subjects][:, tasks],
        present[subjects][:, tasks],
        weights[tasks],
    )
    n, _, m = scores.shape
    values = np.where(present[:, :, None], scores, 0.0)
    # scores that are equal but for rounding are ties
    ranks = np.where(
        present[:, :, None], scipy.stats.rankdata(-np.round(values, _DIGITS), axis=2), 0.0
    )
    drawn = (
        np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples).astype(np.float64)
    )
    mean_ranks = {
        AGGREGATE_FIRST: lambda draws: _weighted(_ranks(_means(values, present, draws)), weights),
        RANK_FIRST: lambda draws: _weighted(_means(ranks, present, draws), weights),
    }
    orders = {}
    for name, mean_rank in mean_ranks.items():
        all_data = mean_rank(np.ones((1, n)))[0]
        chunks = [drawn[start : start + _CHUNK] for start in range(0, resamples, _CHUNK)]
        resampled = np.concatenate([mean_rank(chunk) for chunk in chunks])
        orders[name] = _order_ranking(all_data, resampled)
    tau = float(
        kendall_tau(orders[AGGREGATE_FIRST].mean_rank, orders[RANK_FIRST].mean_rank[None])[0]
    )
    return Ranking(
        subjects=n,
        tasks=scores.shape[1],
        orders=orders,
        tau_between=None if np.isnan(tau) else tau,
        p_holm=_different(
            _subject_ranks(ranks, present, weights),
            np.zeros(m, dtype=bool) if outside is None else outside,
        ),
    )


def _means(values: Any, present: NDArray[np.bool_], draws: Matrix) -> Any:
    """Means over drawn subjects, (b, k, m); NaN for a task of which no subject was drawn."""
    n, k, m = values.shape
    sums = (draws @ values.reshape(n, k * m)).reshape(-1, k, m)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / (draws @ present)[:, :, None]


def _ranks(means: Any) -> Any:
    ranks = scipy.stats.rankdata(-np.round(means, _DIGITS), axis=2, nan_policy="omit")
    return np.where(np.isnan(means), np.nan, ranks)


def _weighted(ranks: Any, weights: NDArray[np.float64]) -> Matrix:
    """Mean over tasks, (b, k, m) to (b, m)."""
    task_weights = np.where(np.isnan(ranks[:, :, 0]), 0.0, weights)
    total: Matrix = np.einsum("bk,bkm->bm", task_weights, np.nan_to_num(ranks)) / task_weights.sum(
        axis=1, keepdims=True
    )
    return total


def _order_ranking(all_data: NDArray[np.float64], resampled: Matrix) -> OrderRanking:
    m = len(all_data)
    places = scipy.stats.rankdata(np.round(resampled, 9), axis=1, method="min").astype(np.int64)
    distribution = np.stack([(places == place).mean(axis=0) for place in range(1, m + 1)], axis=1)
    place = scipy.stats.rankdata(np.round(all_data, 9), method="min").astype(np.int64)
    return OrderRanking(
        mean_rank=all_data,
        place=place,
        distribution=distribution,
        tau=kendall_tau(all_data, resampled),
    )


def kendall_tau(ranking: NDArray[np.float64], others: Matrix) -> NDArray[np.float64]:
    """Kendall's tau-b (Biometrika 1945;33:239-251) of one ranking to several others.

    Args:
        ranking: (m,).
        others: (b, m).

    Returns:
        (b,); NaN where either ranking is all ties.
    """
    first, second = np.triu_indices(len(ranking), 1)
    a = np.sign(np.round(ranking[first] - ranking[second], 9))
    b = np.sign(np.round(others[:, first] - others[:, second], 9))
    with np.errstate(invalid="ignore", divide="ignore"):
        tau: NDArray[np.float64] = (b @ a) / np.sqrt((a**2).sum() * (b**2).sum(axis=1))
    return tau


def _subject_ranks(ranks: Any, present: NDArray[np.bool_], weights: NDArray[np.float64]) -> Matrix:
    """Each subject's weighted mean rank of each model, (n, m)."""
    task_weights = present * weights
    mean: Matrix = np.einsum("nk,nkm->nm", task_weights, ranks) / task_weights.sum(
        axis=1, keepdims=True
    )
    return mean


def _different(ranks: Matrix, outside: NDArray[np.bool_]) -> Matrix:
    m = len(outside)
    p = np.full((m, m), np.nan)
    first, second = np.triu_indices(m, 1)
    if not len(first):
        return p
    tests = signed_rank_p(without_rounding(ranks[:, first] - ranks[:, second], np.full(1, m)))
    apart = outside[first] | outside[second]
    for family in (apart, ~apart):
        adjusted = holm(tests[family])
        p[first[family], second[family]] = p[second[family], first[family]] = adjusted
    return p
