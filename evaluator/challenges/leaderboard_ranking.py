"""Rank the entries of a board, with the ranking's stability and the tests between entries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evaluator.challenges.indistinct_groups import group_letters
from evaluator.challenges.leaderboard_records import PairTest
from evaluator.challenges.leaderboard_scores import rounded
from evaluator.statistics import ALPHA, holm, rank_models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.challenges.definition import Ranking as RankingRule
    from evaluator.challenges.leaderboard_records import Entry
    from evaluator.challenges.leaderboard_scores import ScoreTable
    from evaluator.statistics import Ranking
    from evaluator.statistics.ranking import OrderRanking

#: with fewer subjects, resamples repeat the same few subjects
FEW_SUBJECTS = 6
#: quantiles of the place over resamples
_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedEntries:
    """Entries by place, and what is known of the ranking."""

    entries: tuple[Entry, ...]
    pairs: tuple[PairTest, ...] = ()
    subjects: int = 0
    tasks: int = 0
    tau: float | None = None
    tau_between: float | None = None
    remarks: tuple[str, ...] = ()


def rank_entries(entries: Sequence[Entry], table: ScoreTable, rule: RankingRule) -> RankedEntries:
    """Rank entries by their scores.

    A task of a subject that is undefined for one entry, such as a distance between empty masks,
    counts for none of them.

    Args:
        entries: without places.
        table: whose results are those of the entries, in the same order.
        rule: order of aggregation, resamples and seed.
    """
    scores = table.tasks()
    if not entries or np.isnan(scores).any(axis=2).all():
        remark = "There is no ranking: no subject has a score of every entry in any task."
        return RankedEntries(entries=tuple(entries), remarks=(remark,) if entries else ())
    outside = np.array([entry.random_weights or entry.image_blind for entry in entries])
    ranking = rank_models(
        scores,
        table.weights(),
        outside=outside,
        resamples=rule.resamples,
        seed=rule.seed,
    )
    order = ranking.orders[rule.order]
    placed = [_place(entry, number, ranking, rule) for number, entry in enumerate(entries)]
    positions = sorted(range(len(placed)), key=lambda n: (order.place[n], placed[n].team))
    different = []
    for i, j in combinations(range(len(positions)), 2):
        if ranking.p_holm[positions[i], positions[j]] < ALPHA:
            different.append((i, j))
    letters = group_letters(len(positions), different)
    ordered = tuple(
        replace(placed[number], groups=groups)
        for number, groups in zip(positions, letters, strict=True)
    )
    return RankedEntries(
        entries=ordered,
        pairs=_pairs(ranking, placed, positions),
        subjects=ranking.subjects,
        tasks=ranking.tasks,
        tau=_mean_tau(ranking, order),
        tau_between=None if ranking.tau_between is None else rounded(ranking.tau_between),
        remarks=_remarks(ranking, len(entries)),
    )


def _place(entry: Entry, number: int, ranking: Ranking, rule: RankingRule) -> Entry:
    order = ranking.orders[rule.order]
    (other,) = (row for name, row in ranking.orders.items() if name != rule.order)
    shares = order.distribution[number]
    cumulated = np.cumsum(shares)
    is_stable = ranking.subjects > 1
    low, high = (int(np.searchsorted(cumulated, q - 1e-9)) + 1 for q in _QUANTILES)
    return replace(
        entry,
        place=int(order.place[number]),
        mean_rank=rounded(order.mean_rank[number]),
        place_low=low if is_stable else None,
        place_high=high if is_stable else None,
        places=tuple(round(float(share), 6) for share in shares) if is_stable else (),
        other_place=int(other.place[number]),
    )


def _pairs(
    ranking: Ranking, entries: Sequence[Entry], positions: Sequence[int]
) -> tuple[PairTest, ...]:
    mean_rank = ranking.orders["rank-then-aggregate"].mean_rank
    pairs = []
    for i, j in combinations(positions, 2):
        better, worse = (i, j) if mean_rank[i] <= mean_rank[j] else (j, i)
        pairs.append(
            PairTest(
                better=entries[better].submission,
                worse=entries[worse].submission,
                p_holm=rounded(ranking.p_holm[i, j]),
            )
        )
    return tuple(pairs)


def _mean_tau(ranking: Ranking, order: OrderRanking) -> float | None:
    tau = order.tau[~np.isnan(order.tau)]
    return rounded(tau.mean()) if len(tau) and ranking.subjects > 1 else None


def _remarks(ranking: Ranking, entries: int) -> tuple[str, ...]:
    if entries < 2:
        return ("One entry cannot be ranked against others.",)
    if ranking.subjects == 1:
        return ("One subject cannot show how stable the places are.",)
    if ranking.subjects < FEW_SUBJECTS:
        return (f"{ranking.subjects} subjects are too few to judge how stable the places are.",)
    return ()


def adjust_gaps(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Adjust the p values of the gaps between modalities by Holm, all of the board together."""
    keys = []
    values = []
    for i, entry in enumerate(entries):
        for j, gap in enumerate(entry.gaps):
            keys.append((i, j))
            values.append(np.nan if gap.p_holm is None else gap.p_holm)
    adjusted: Mapping[tuple[int, int], float] = dict(
        zip(keys, holm(np.array(values, dtype=np.float64)), strict=True)
    )
    result = []
    for i, entry in enumerate(entries):
        gaps = tuple(
            replace(gap, p_holm=rounded(adjusted[i, j])) for j, gap in enumerate(entry.gaps)
        )
        result.append(replace(entry, gaps=gaps))
    return tuple(result)
