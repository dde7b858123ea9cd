"""A simulated user corrects the masks of a model, round after round, without I/O.

    user = SimulatedUser(plan, first, references, seed=0, subject="s1")
    while (prompts := user.ask()) is not None:
        masks = {name: run_the_model(name, target) for name, target in prompts.targets.items()}
        user.tell(masks)
    print(user.stop_reasons)

After a failed round the target gets the same prompts again and no previous mask: the user saw no
mask, so there is nothing to correct, and an older mask never stands in for it. (Under the click
rule ``cvpr25`` a failed round counts as an empty mask, as in that challenge, and the next click
corrects the empty mask.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask
from evaluator.prompting.corrections import correct
from evaluator.prompting.error_regions import dice
from evaluator.prompting.points import point_at, put_point
from evaluator.prompting.random_stream import RandomStream
from evaluator.prompting.slice_scribbles import rule_of_subject
from evaluator.prompting.stop_reason import Reason, StopReason
from evaluator.types import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.types import RoundPlan, TargetPrompt
    from zoo_sdk.wire import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPrompts:
    """The prompts of one target in one round."""

    #: round 0's prompts and every click since, oldest first
    prompt: TargetPrompt
    #: this round's own points (of a scribble: all its voxels), to be recorded and replayed
    added: tuple[Point, ...] = ()
    #: every foreground scribble so far; background scribbles are among the prompt's points, because
    #: the contract has no other place for them
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


class SimulatedUser:
    """Asks for masks round by round and corrects their errors.

    The state is plain and can be pickled between two calls. ``ask`` returns the prompts of the
    current round, ``tell`` takes the masks that answer them. The next round's prompts depend only
    on the arguments and on the masks, never on the order of targets or on earlier runs.
    """

    def __init__(
        self,
        plan: RoundPlan,
        first: Mapping[str, TargetPrompt],
        references: Mapping[str, GridMask],
        *,
        seed: int,
        subject: str,
        recorded: Mapping[str, Sequence[Point]] | None = None,
    ) -> None:
        """Begin with round 0.

        Args:
            plan: number of rounds, correction and stopping rules.
            first: round 0's prompts by target, on this image's grid.
            references: reference masks by target, not empty, on the same grid.
            seed: seed of the protocol; part of the key of every random choice.
            subject: id of the case; part of the key of every random choice.
            recorded: for ``plan.clicks == "shared"``, the points added in the rounds of another
                image or model, by target. The points of round r are put on this grid by the rule of
                round 0: a foreground click on the nearest voxel of this reference, a background
                click on the nearest voxel outside it. A target stops with its recording and not
                sooner, whether its mask is perfect or its round failed, so every image and every
                model gets the same clicks in each round.

        Raises:
            ValueError: ``recorded`` is missing for ``plan.clicks == "shared"``, or present
                without it.
        """
        if (plan.clicks == "shared") != (recorded is not None):
            raise ValueError('clicks = "shared" needs a recording, and nothing else takes one')
        self._plan = replace(plan, click_rule=rule_of_subject(plan.click_rule, subject))
        self._references = dict(references)
        self._seed = seed
        self._subject = subject
        self._recorded = None if recorded is None else dict(recorded)
        self._round = 0
        self._open = {
            name: TargetPrompts(prompt=prompt, clicks=_interaction_count(prompt))
            for name, prompt in first.items()
        }
        self._stop_reasons: dict[str, StopReason] = {}

    @property
    def stop_reasons(self) -> dict[str, StopReason]:
        """Why each target stopped, in order of stopping; complete when ``ask`` returns None."""
        return dict(self._stop_reasons)

    def ask(self) -> RoundPrompts | None:
        """Return the prompts of the current round; None if every target has stopped.

        The prompts stay the same until ``tell`` is called.
        """
        if not self._open:
            return None
        return RoundPrompts(round=self._round, targets=dict(self._open))

    def tell(self, masks: Mapping[str, GridMask | Failure]) -> None:
        """Take the masks of the current round and prepare the next one.

        Args:
            masks: for every target of ``ask``, a mask on the grid of its reference, or a Failure.
                Other targets are ignored.

        Raises:
            KeyError: a target of ``ask`` is missing. The state does not change.
            RuntimeError: every target has stopped.
        """
        if not self._open:
            raise RuntimeError("every target has stopped: there is no round to answer")
        results = {
            name: self._next_prompts(name, prompts, masks[name])
            for name, prompts in self._open.items()
        }
        self._open = {}
        for name, result in results.items():
            if isinstance(result, StopReason):
                self._stop_reasons[name] = result
            else:
                self._open[name] = result
        self._round += 1

    def _next_prompts(
        self, name: str, prompts: TargetPrompts, answer: GridMask | Failure
    ) -> TargetPrompts | StopReason:
        """The target's prompts for the next round, or why it gets none."""
        plan = self._plan
        if self._round + 1 >= plan.count:
            alone = plan.count == 1 and plan.correction != "none"
            return self._stop("no-corrections" if alone else "all-rounds", prompts)
        failed = isinstance(answer, Failure)
        mask = empty_mask(self._references[name].grid) if isinstance(answer, Failure) else answer
        if self._recorded is not None:
            return self._replay(name, prompts, None if failed else mask)
        if failed and plan.click_rule != "cvpr25":
            return replace(prompts, added=(), previous=None)
        if not failed and self._reaches_dice(name, mask):
            return self._stop("dice-reached", prompts)
        added = self._correction(name, mask)
        if not added and plan.click_rule != "cvpr25":
            return self._stop("no-error", prompts)
        if added and plan.max_clicks is not None and prompts.clicks >= plan.max_clicks:
            return self._stop("clicks-spent", prompts)
        return self._extend(name, prompts, added, None if failed else mask)

    def _stop(self, reason: Reason, prompts: TargetPrompts) -> StopReason:
        return StopReason(reason=reason, round=self._round, clicks=prompts.clicks)

    def _reaches_dice(self, name: str, mask: GridMask) -> bool:
        threshold = self._plan.stop_at_dice
        return threshold is not None and dice(self._references[name], mask) >= threshold

    def _correction(self, name: str, mask: GridMask) -> tuple[Point, ...]:
        """The points of the next round; empty where the mask has no error."""
        number = self._round + 1
        rng = RandomStream("correction", self._seed, self._subject, name, number)
        reference = self._references[name]
        return tuple(
            point_at(reference.grid, index, foreground=foreground, round_number=number)
            for index, foreground in correct(self._plan, reference, mask, rng)
        )

    def _replay(
        self, name: str, prompts: TargetPrompts, mask: GridMask | None
    ) -> TargetPrompts | StopReason:
        """The recorded points of the next round, put on this grid."""
        clicks = (self._recorded or {}).get(name, ())
        if not any(click.round > self._round for click in clicks):
            return self._stop("recording-ended", prompts)
        number = self._round + 1
        added: list[Point] = []
        for click in clicks:
            if click.round != number:
                continue
            placed = put_point(
                self._references[name],
                click.ras_mm,
                foreground=click.foreground,
                round_number=number,
            )
            # two recorded points may fall into one voxel of a coarser grid
            if placed and placed[0] not in added:
                added.append(placed[0])
        return self._extend(name, prompts, tuple(added), mask)

    def _extend(
        self, name: str, prompts: TargetPrompts, added: tuple[Point, ...], mask: GridMask | None
    ) -> TargetPrompts:
        """The prompts so far with the new points; foreground points of a scribble are painted."""
        painted: tuple[Point, ...] = ()
        if self._plan.correction == "scribble":
            painted = tuple(point for point in added if point.foreground)
        clicked = tuple(point for point in added if point not in painted)
        return TargetPrompts(
            prompt=replace(prompts.prompt, points=prompts.prompt.points + clicked),
            added=added,
            scribble=_paint(self._references[name], prompts.scribble, painted),
            previous=mask if self._plan.previous_mask else None,
            clicks=prompts.clicks + bool(added),
        )


def _paint(
    reference: GridMask, scribble: GridMask | None, points: tuple[Point, ...]
) -> GridMask | None:
    """The scribble with the voxels of these points added."""
    if not points:
        return scribble
    voxels = np.array([point.index for point in points])
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    if scribble is not None:
        low = np.minimum(low, scribble.offset)
        high = np.maximum(high, np.add(scribble.offset, scribble.array.shape))
    (li, lj, lk), (hi, hj, hk) = low.tolist(), high.tolist()
    array = (scribble or empty_mask(reference.grid)).crop((li, lj, lk), (hi, hj, hk))
    array[tuple((voxels - low).T)] = True
    return crop_mask(array, reference.grid, (li, lj, lk))


def _interaction_count(prompt: TargetPrompt) -> int:
    return len(prompt.points) + (prompt.box is not None)
