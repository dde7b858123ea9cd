"""Statistics of interaction, from one target's scores round by round.

A score is in [0, 1], higher is better (Dice, NSD). ``None`` stands for a failed round. Where a
statistic needs a number for a failed round, it is 0 unless stated otherwise. Where it does not,
failed rounds are excluded, and their number is reported beside it. No function replaces a failed
round by an older score.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Scores = Sequence[float | None]


def curve(scores: Scores, count: int, *, failed_as: float = 0.0) -> tuple[float, ...]:
    """One number for each of the protocol's ``count`` rounds.

    A target that stopped early (no error left, Dice reached) keeps its last score, because the user
    accepted that mask.

    Raises:
        ValueError: there are no scores, or more scores than rounds.
    """
    if not 0 < len(scores) <= count:
        raise ValueError(f"{len(scores)} scores for {count} rounds")
    numbers = [failed_as if score is None else score for score in scores]
    return tuple(numbers + numbers[-1:] * (count - len(numbers)))


def area(points: Sequence[float]) -> float:
    """Area under score over rounds by the trapezoid rule, in [0, 1].

    It is divided by the number of corrections.
    """
    if len(points) == 1:
        return points[0]
    return sum((a + b) / 2 for a, b in pairwise(points)) / (len(points) - 1)


def clicks_to_reach(scores: Scores, clicks: Sequence[int], threshold: float) -> int | None:
    """Interactions up to the first round whose score is at least ``threshold``.

    Args:
        scores: of each round.
        clicks: interactions so far, of each round.
        threshold: the score to reach.

    Returns:
        None if no round reaches the threshold.
    """
    for score, count in zip(scores, clicks, strict=True):
        if score is not None and score >= threshold:
            return count
    return None


def number_of_clicks(reached: Sequence[int | None], budget: int) -> tuple[float, int]:
    """Number of clicks (NoC) over targets.

    The convention of the interactive segmentation literature: NoC@q of 20 clicks, and failures to
    reach q.

    Args:
        reached: ``clicks_to_reach`` of each target; None counts as the budget.
        budget: the largest number of clicks.

    Returns:
        The mean number of clicks, and how many targets did not reach the score.

    Raises:
        ValueError: there are no targets.
    """
    if not reached:
        raise ValueError("no targets")
    mean = sum(budget if n is None else n for n in reached) / len(reached)
    return mean, sum(n is None for n in reached)


def first_gain(scores: Scores) -> float | None:
    """The score of round 1 minus that of round 0; None if either round failed or is missing."""
    if len(scores) < 2 or scores[0] is None or scores[1] is None:
        return None
    return scores[1] - scores[0]


def instability(scores: Scores) -> float | None:
    """Mean loss of score by a correction (0 where it gained); None without a valid pair.

    Pairs of rounds of which one failed are excluded.
    """
    losses = [max(0.0, a - b) for a, b in pairwise(scores) if a is not None and b is not None]
    return sum(losses) / len(losses) if losses else None
