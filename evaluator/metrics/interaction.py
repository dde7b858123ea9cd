"""Figures of interaction, from one target's scores round by round. A score is in [0, 1], higher better (Dice, NSD).

``None`` stands for a failed round. Where a figure needs a number for it, it is 0 unless said; where it does not, failed
rounds are left out, and how many there were is told beside. Nothing here stands in an older score for a failed round.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Scores = Sequence[float | None]


def curve(scores: Scores, count: int, *, failed_as: float = 0.0) -> tuple[float, ...]:
    """One number for each of the protocol's ``count`` rounds.

    A target that ended early (no error left, Dice reached) keeps its last score: the user accepted that mask. Raises
    ValueError for no scores, or for more than there are rounds.
    """
    if not 0 < len(scores) <= count:
        raise ValueError(f"{len(scores)} scores for {count} rounds")
    numbers = [failed_as if score is None else score for score in scores]
    return tuple(numbers + numbers[-1:] * (count - len(numbers)))


def area(points: Sequence[float]) -> float:
    """Area under score over rounds by the trapezoid rule, divided by the number of corrections: in [0, 1]."""
    if len(points) == 1:
        return points[0]
    return sum((a + b) / 2 for a, b in pairwise(points)) / (len(points) - 1)


def clicks_to_reach(scores: Scores, clicks: Sequence[int], wanted: float) -> int | None:
    """Interactions given by the first round whose score is at least ``wanted``; None if no round reached it."""
    return next(
        (
            given
            for score, given in zip(scores, clicks, strict=True)
            if score is not None and score >= wanted
        ),
        None,
    )


def number_of_clicks(reached: Sequence[int | None], budget: int) -> tuple[float, int]:
    """NoC over targets: mean of ``clicks_to_reach`` with the failures to reach counted as the budget, and how many.

    The convention of the interactive segmentation literature (NoC@q of 20 clicks, and failures to reach q).
    """
    if not reached:
        raise ValueError("no targets")
    return sum(budget if n is None else n for n in reached) / len(reached), sum(
        n is None for n in reached
    )


def first_gain(scores: Scores) -> float | None:
    """What the first correction gave: score of round 1 less that of round 0; None if either failed or is not there."""
    if len(scores) < 2 or scores[0] is None or scores[1] is None:
        return None
    return scores[1] - scores[0]


def instability(scores: Scores) -> float | None:
    """Mean over the corrections of the score lost by it (0 where it gained); pairs with a failed round are left out."""
    losses = [max(0.0, a - b) for a, b in pairwise(scores) if a is not None and b is not None]
    return sum(losses) / len(losses) if losses else None
