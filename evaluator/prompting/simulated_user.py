"""Rounds of correction, without I/O: ``correct_in_rounds`` yields what to ask and is sent what came back.

    rounds = correct_in_rounds(plan, first, references, seed=0, subject="s1")
    ask = next(rounds)
    while True:
        answers = {name: run_the_model(name, target) for name, target in ask.targets.items()}
        try:
            ask = rounds.send(answers)
        except StopIteration as stop:
            endings = stop.value
            break

A failed round is a failed round. Its target is asked again with the same prompts and no mask handed back: the user saw
no mask, so there is nothing to correct, and an older mask never stands in for it. (Under the click rule ``cvpr25`` a
failed round counts as an empty mask, as in that challenge, and the next click is drawn from that.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask
from evaluator.prompting.corrections import CORRECTIONS, correct
from evaluator.prompting.error_regions import dice, largest_error
from evaluator.prompting.points import point_at, put_point
from evaluator.prompting.random_stream import RandomStream
from evaluator.types import Failure

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from evaluator.types import RoundPlan, TargetPrompt
    from zoo_sdk.wire import Point

    Answers = Mapping[str, GridMask | Failure]

__all__ = [
    "CORRECTIONS",
    "RoundPrompts",
    "StopReason",
    "TargetPrompts",
    "correct_in_rounds",
    "dice",
    "largest_error",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPrompts:
    """What one target is asked with in one round."""

    #: round 0's prompts and every click since, oldest first
    prompt: TargetPrompt
    #: this round's own points (of a scribble: all its voxels), to be recorded and replayed
    added: tuple[Point, ...] = ()
    #: every foreground scribble so far; background ones are among the prompt's points (the contract has no other place)
    scribble: GridMask | None = None
    #: the mask of the round before, if the plan hands it back and that round did not fail
    previous: GridMask | None = None
    #: interactions given so far: the points of round 0 (a box is one), and one for each correction
    clicks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPrompts:
    """One round: the targets that are still being corrected."""

    round: int
    targets: Mapping[str, TargetPrompts]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """Why a target got no further rounds, after which round, with how many interactions."""

    reason: Literal["all-rounds", "dice-reached", "no-error", "clicks-spent", "recording-ended"]
    round: int
    clicks: int


def correct_in_rounds(
    plan: RoundPlan,
    first: Mapping[str, TargetPrompt],
    references: Mapping[str, GridMask],
    *,
    seed: int,
    subject: str,
    recorded: Mapping[str, Sequence[Point]] | None = None,
) -> Generator[RoundPrompts, Answers, dict[str, StopReason]]:
    """Ask round after round, each time for all targets that are still open; returns why each one ended.

    ``first``: round 0's prompts on this image's grid. ``references``: not empty, on the same grid. What is sent must
    have a mask on that grid, or a Failure, for every target asked.

    ``recorded``: for ``plan.clicks == "shared"``, the points added in the rounds of another image or model, by target.
    Round r's are put on this grid by the rule of round 0: a foreground click on the nearest voxel of this reference, a
    background click on the nearest one outside it. A target ends with its recording and not sooner, whether its mask is
    perfect or its round failed, so that in each round every image and every model has had the same clicks.
    """
    if (plan.clicks == "shared") != (recorded is not None):
        raise ValueError('a recording is given for clicks = "shared", and for nothing else')
    user = _User(plan, references, seed, subject, recorded)
    ask = RoundPrompts(
        round=0,
        targets={
            name: TargetPrompts(prompt=prompt, clicks=_given(prompt))
            for name, prompt in first.items()
        },
    )
    endings: dict[str, StopReason] = {}
    while ask.targets:
        answers = yield ask
        following: dict[str, TargetPrompts] = {}
        for name, asked in ask.targets.items():
            reply = user.reply(name, asked, answers[name], ask.round)
            if isinstance(reply, StopReason):
                endings[name] = reply
            else:
                following[name] = reply
        ask = RoundPrompts(round=ask.round + 1, targets=following)
    return endings


@dataclass(frozen=True, slots=True)
class _User:
    """The simulated user: knows the references, sees one answer, says what to ask next or that it is over."""

    plan: RoundPlan
    references: Mapping[str, GridMask]
    seed: int
    subject: str
    recorded: Mapping[str, Sequence[Point]] | None

    def reply(
        self, name: str, asked: TargetPrompts, answer: GridMask | Failure, number: int
    ) -> TargetPrompts | StopReason:
        """What follows this answer to round ``number``."""
        if number + 1 >= self.plan.count:
            return StopReason(reason="all-rounds", round=number, clicks=asked.clicks)
        failed = isinstance(answer, Failure)
        mask = empty_mask(self.references[name].grid) if isinstance(answer, Failure) else answer
        if self.recorded is not None:
            return self._replay(name, asked, None if failed else mask, number)
        if failed and self.plan.click_rule != "cvpr25":
            return replace(asked, added=(), previous=None)
        reached = (
            self.plan.stop_at_dice is not None
            and dice(self.references[name], mask) >= self.plan.stop_at_dice
        )
        if reached and not failed:
            return StopReason(reason="dice-reached", round=number, clicks=asked.clicks)
        added = self._correction(name, mask, number + 1)
        if not added and self.plan.click_rule != "cvpr25":
            return StopReason(reason="no-error", round=number, clicks=asked.clicks)
        if added and self.plan.max_clicks is not None and asked.clicks >= self.plan.max_clicks:
            return StopReason(reason="clicks-spent", round=number, clicks=asked.clicks)
        return self._with(name, asked, added, None if failed else mask)

    def _correction(self, name: str, mask: GridMask, number: int) -> tuple[Point, ...]:
        chance = RandomStream("correction", self.seed, self.subject, name, number)
        reference = self.references[name]
        return tuple(
            point_at(reference.grid, index, foreground=foreground, round_number=number)
            for index, foreground in correct(self.plan, reference, mask, chance)
        )

    def _replay(
        self, name: str, asked: TargetPrompts, mask: GridMask | None, number: int
    ) -> TargetPrompts | StopReason:
        clicks = (self.recorded or {}).get(name, ())
        if not any(click.round > number for click in clicks):
            return StopReason(reason="recording-ended", round=number, clicks=asked.clicks)
        put = [
            put_point(
                self.references[name],
                click.ras_mm,
                foreground=click.foreground,
                round_number=number + 1,
            )
            for click in clicks
            if click.round == number + 1
        ]
        return self._with(
            name, asked, tuple(dict.fromkeys(found[0] for found in put if found)), mask
        )

    def _with(
        self, name: str, asked: TargetPrompts, added: tuple[Point, ...], mask: GridMask | None
    ) -> TargetPrompts:
        drawn = (
            tuple(point for point in added if point.foreground)
            if self.plan.correction == "scribble"
            else ()
        )
        clicked = tuple(point for point in added if point not in drawn)
        return TargetPrompts(
            prompt=replace(asked.prompt, points=asked.prompt.points + clicked),
            added=added,
            scribble=_paint(self.references[name], asked.scribble, drawn),
            previous=mask if self.plan.previous_mask else None,
            clicks=asked.clicks + bool(added),
        )


def _paint(
    reference: GridMask, before: GridMask | None, drawn: tuple[Point, ...]
) -> GridMask | None:
    """The scribble so far with these voxels added."""
    if not drawn:
        return before
    voxels = np.array([point.index for point in drawn])
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    if before is not None:
        low = np.minimum(low, before.offset)
        high = np.maximum(high, np.add(before.offset, before.array.shape))
    (li, lj, lk), (hi, hj, hk) = low.tolist(), high.tolist()
    inside = (before or empty_mask(reference.grid)).crop((li, lj, lk), (hi, hj, hk))
    inside[tuple((voxels - low).T)] = True
    return crop_mask(inside, reference.grid, (li, lj, lk))


def _given(prompt: TargetPrompt) -> int:
    return len(prompt.points) + (prompt.box is not None)
