"""Simulated models against the simulated user, with the expected scores and stop reasons."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

import numpy as np
import pytest

from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask
from evaluator.prompting.error_regions import dice
from evaluator.prompting.initial_prompts import simulate_prompts
from evaluator.prompting.simulated_user import RoundPrompts, SimulatedUser
from evaluator.prompting.stop_reason import StopReason
from evaluator.types import Failure, PromptPlan, RoundPlan, Status, TargetPrompt
from zoo_sdk.wire import Point

GRID = make_grid((30, 20, 16), np.diag([1.0, 1.0, 2.0, 1.0]))
CLICKS = RoundPlan(count=6, correction="largest-error-click", previous_mask=True)
CRASH = Failure(status=Status.CRASHED, detail="exit 1")


def blocks(*boxes) -> GridMask:
    mask = np.zeros(GRID.shape, bool)
    for low, high in boxes:
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return crop_mask(mask, GRID)


def full_array(mask: GridMask) -> np.ndarray:
    return mask.crop((0, 0, 0), GRID.shape)


LARGE, SMALL = ((2, 2, 2), (9, 9, 9)), ((20, 4, 4), (23, 7, 7))  # 343 and 27 voxels
# the first of their deepest voxels, 4 and 2 mm: layers are 2 mm apart
IN_LARGE, IN_SMALL = (5, 5, 3), (21, 5, 4)
ORGAN = blocks(LARGE, SMALL)


def run_rounds(model, plan=CLICKS, reference=ORGAN, recorded=None, kind="point"):
    """Run the rounds.

    Returns:
        The prompts and the Dice of each round (None: failed), and the stop reason.
    """
    first = simulate_prompts(
        {"CT": reference},
        target="organ",
        kind=kind,
        plan=PromptPlan(kinds=(kind,)),
        seed=0,
        subject="s",
    )
    user = SimulatedUser(
        plan, {"organ": first["CT"]}, {"organ": reference}, seed=0, subject="s", recorded=recorded
    )
    prompts, scores = [], []
    while (round_prompts := user.ask()) is not None:
        prompts.append(round_prompts.targets["organ"])
        answer = model(round_prompts)
        scores.append(None if isinstance(answer, Failure) else dice(reference, answer))
        user.tell({"organ": answer})
    return prompts, scores, user.stop_reasons["organ"]


def perfect(round_prompts: RoundPrompts):
    return ORGAN


def empty(round_prompts: RoundPrompts):
    return empty_mask(GRID)


def inverted(round_prompts: RoundPrompts):
    return crop_mask(~full_array(ORGAN), GRID)


def unresponsive(round_prompts: RoundPrompts):
    return blocks(LARGE)


def learner(round_prompts: RoundPrompts):
    """Paints the block that a foreground click lies in."""
    clicked = {
        point.index for point in round_prompts.targets["organ"].prompt.points if point.foreground
    }
    painted = []
    for block in (LARGE, SMALL):
        if any(map(blocks(block).contains, clicked)):
            painted.append(block)
    return blocks(*painted)


def clicks_of(prompts):
    return [(point.index, point.foreground, point.round) for point in prompts[-1].prompt.points]


def test_a_perfect_model_is_not_corrected() -> None:
    prompts, scores, stop = run_rounds(perfect)
    assert scores == [1.0]
    assert stop == StopReason(reason="no-error", round=0, clicks=1)
    assert clicks_of(prompts) == [(IN_LARGE, True, 0)]


def test_an_empty_model_gets_the_organs_middle_each_time() -> None:
    prompts, scores, stop = run_rounds(empty)
    assert scores == [0.0] * 6
    assert stop == StopReason(reason="all-rounds", round=5, clicks=6)
    assert clicks_of(prompts) == [(IN_LARGE, True, n) for n in range(6)]
    assert all(target.previous is not None and target.previous.empty for target in prompts[1:])


def test_an_inverted_model_gets_background_clicks_in_its_false_positives() -> None:
    prompts, scores, stop = run_rounds(inverted)
    assert scores == [0.0] * 6
    assert stop.reason == "all-rounds"
    corrections = clicks_of(prompts)[1:]
    assert [(index, foreground) for index, foreground, _ in corrections] == [
        ((16, 9, 11), False)
    ] * 5
    assert not ORGAN.contains((16, 9, 11))


def test_a_model_that_ignores_corrections_gets_the_same_click() -> None:
    prompts, scores, stop = run_rounds(unresponsive)
    assert scores == [2 * 343 / (343 + 370)] * 6
    assert stop == StopReason(reason="all-rounds", round=5, clicks=6)
    assert clicks_of(prompts)[1:] == [(IN_SMALL, True, n) for n in range(1, 6)]


def test_a_model_that_learns_is_done_when_it_is_perfect() -> None:
    prompts, scores, stop = run_rounds(learner)
    assert scores == [2 * 343 / (343 + 370), 1.0]
    assert stop == StopReason(reason="no-error", round=1, clicks=2)
    assert [len(target.added) for target in prompts] == [0, 1]
    assert prompts[1].previous is not None
    assert (full_array(prompts[1].previous) == full_array(blocks(LARGE))).all()


def test_a_failed_round_is_asked_again_without_a_mask_and_without_a_new_click() -> None:
    def fails_at_three(round_prompts: RoundPrompts):
        return CRASH if round_prompts.round == 3 else unresponsive(round_prompts)

    prompts, scores, stop = run_rounds(fails_at_three)
    good = 2 * 343 / (343 + 370)
    assert scores == [good, good, good, None, good, good]
    assert [target.clicks for target in prompts] == [1, 2, 3, 4, 4, 5]
    assert prompts[4].prompt == prompts[3].prompt
    assert prompts[4].added == ()
    assert prompts[4].previous is None  # never the mask of round 2
    assert prompts[5].previous is not None
    assert stop == StopReason(reason="all-rounds", round=5, clicks=5)


def test_a_model_that_always_fails_gets_every_round_and_no_clicks() -> None:
    prompts, scores, stop = run_rounds(lambda round_prompts: CRASH)
    assert scores == [None] * 6
    assert [target.clicks for target in prompts] == [1] * 6
    assert stop == StopReason(reason="all-rounds", round=5, clicks=1)


def test_the_previous_mask_is_given_only_if_planned() -> None:
    prompts, _, _ = run_rounds(unresponsive, replace(CLICKS, previous_mask=False))
    assert all(target.previous is None for target in prompts)


def test_a_target_stops_at_the_dice_of_the_plan() -> None:
    _, scores, stop = run_rounds(unresponsive, replace(CLICKS, stop_at_dice=0.96))
    assert len(scores) == 1
    assert stop.reason == "dice-reached"
    assert len(run_rounds(unresponsive, replace(CLICKS, stop_at_dice=0.97))[1]) == 6


def test_a_target_stops_when_its_clicks_are_spent() -> None:
    prompts, scores, stop = run_rounds(unresponsive, replace(CLICKS, max_clicks=3))
    assert [target.clicks for target in prompts] == [1, 2, 3]
    assert len(scores) == 3
    assert stop == StopReason(reason="clicks-spent", round=2, clicks=3)


def test_a_box_counts_as_one_interaction_and_stays() -> None:
    prompts, _, stop = run_rounds(learner, kind="box")
    assert prompts[0].prompt.box == prompts[-1].prompt.box
    assert prompts[0].prompt.box is not None
    assert [target.clicks for target in prompts] == [1, 2, 3]
    assert clicks_of(prompts) == [(IN_LARGE, True, 1), (IN_SMALL, True, 2)]
    assert stop.reason == "no-error"


def test_targets_end_each_in_its_own_round() -> None:
    references = {"large": blocks(LARGE), "small": blocks(SMALL)}
    first = {
        name: simulate_prompts(
            {"CT": mask},
            target=name,
            kind="point",
            plan=PromptPlan(kinds=("point",)),
            seed=0,
            subject="s",
        )["CT"]
        for name, mask in references.items()
    }
    user = SimulatedUser(replace(CLICKS, count=3), first, references, seed=0, subject="s")
    assert set(user.ask().targets) == {"large", "small"}
    user.tell({"large": references["large"], "small": CRASH})
    assert set(user.ask().targets) == {"small"}
    user.tell({"small": empty_mask(GRID)})
    assert set(user.ask().targets) == {"small"}
    user.tell({"small": references["small"]})
    assert user.ask() is None
    assert {name: stop.reason for name, stop in user.stop_reasons.items()} == {
        "large": "no-error",
        "small": "all-rounds",
    }


def two_targets():
    references = {"large": blocks(LARGE), "small": blocks(SMALL)}
    first = {name: TargetPrompt(target=name) for name in references}
    return SimulatedUser(CLICKS, MappingProxyType(first), references, seed=0, subject="s")


def test_asking_twice_returns_the_same_round() -> None:
    user = two_targets()
    assert user.ask() == user.ask()
    user.tell(dict.fromkeys(("large", "small"), empty_mask(GRID)))
    assert user.ask().round == user.ask().round == 1


def test_an_incomplete_answer_changes_nothing() -> None:
    user = two_targets()
    with pytest.raises(KeyError, match="small"):
        user.tell({"large": empty_mask(GRID)})
    assert user.ask().round == 0
    assert user.stop_reasons == {}


def test_a_finished_user_takes_no_masks() -> None:
    user = two_targets()
    user.tell({"large": blocks(LARGE), "small": blocks(SMALL)})
    assert user.ask() is None
    with pytest.raises(RuntimeError, match="stopped"):
        user.tell({})


def test_a_pickled_user_continues_where_it_was() -> None:
    user = two_targets()
    user.tell(dict.fromkeys(("large", "small"), blocks(LARGE)))
    copy = pickle.loads(pickle.dumps(user))
    for each in (user, copy):
        each.tell({"small": empty_mask(GRID)})
    assert copy.ask().targets["small"].prompt == user.ask().targets["small"].prompt
    assert copy.ask().round == user.ask().round == 2
    assert (
        copy.stop_reasons
        == user.stop_reasons
        == {"large": StopReason(reason="no-error", round=0, clicks=0)}
    )


def test_one_round_asks_once() -> None:
    prompts, _, stop = run_rounds(empty, RoundPlan())
    assert len(prompts) == 1
    assert stop == StopReason(reason="all-rounds", round=0, clicks=1)


def test_scribbles_are_drawn_through_the_error_and_kept() -> None:
    plan = RoundPlan(count=3, correction="scribble", previous_mask=True)
    rod = blocks(((3, 5, 5), (24, 8, 8)))
    prompts, _, _ = run_rounds(empty, plan, rod)
    assert prompts[0].scribble is None
    assert prompts[1].scribble is not None
    assert sorted(map(tuple, np.argwhere(full_array(prompts[1].scribble)))) == [
        (i, 6, 5) for i in range(3, 24)
    ]
    assert [len(target.prompt.points) for target in prompts] == [1, 1, 1]
    assert [target.clicks for target in prompts] == [1, 2, 3]


def test_a_background_scribble_becomes_background_points() -> None:
    plan = RoundPlan(count=2, correction="scribble")
    prompts, _, _ = run_rounds(
        lambda round_prompts: blocks(LARGE, SMALL, ((3, 12, 10), (27, 15, 13))), plan, ORGAN
    )
    assert prompts[1].scribble is None
    given = [point for point in prompts[1].prompt.points if not point.foreground]
    assert [point.index for point in given] == [(i, 13, 10) for i in range(3, 27)]


def test_two_scribbles_add_up() -> None:
    plan = RoundPlan(count=3, correction="scribble")
    first, second = ((3, 5, 5), (24, 8, 8)), ((3, 14, 10), (12, 17, 13))
    answers = [empty_mask(GRID), blocks(first), blocks(first)]
    prompts, _, _ = run_rounds(
        lambda round_prompts: answers[round_prompts.round], plan, blocks(first, second)
    )
    assert prompts[2].scribble is not None
    assert prompts[2].scribble.voxel_count == 21 + 9


def test_shared_clicks_are_the_recorded_ones_whatever_the_model_does() -> None:
    prompts, _, _ = run_rounds(unresponsive, replace(CLICKS, count=4))
    recorded = {"organ": list(chain.from_iterable(target.added for target in prompts))}
    shared = replace(CLICKS, count=4, clicks="shared")
    outcomes = [
        run_rounds(model, shared, recorded=recorded)
        for model in (perfect, empty, inverted, lambda round_prompts: CRASH)
    ]
    points = [target.prompt.points for target in prompts]
    for replayed, _, stop in outcomes:
        assert [target.prompt.points for target in replayed] == points
        assert stop == StopReason(reason="all-rounds", round=3, clicks=4)


def test_a_shared_click_moves_to_a_voxel_where_it_is_correct() -> None:
    """The foreground click lies outside this image's reference, the background click inside it."""
    far = Point(index=(0, 0, 0), ras_mm=(12.0, 5.0, 10.0), foreground=True, round=1)
    wrong = Point(index=(0, 0, 0), ras_mm=(2.0, 5.0, 10.0), foreground=False, round=2)
    prompts, _, stop = run_rounds(
        empty, replace(CLICKS, clicks="shared"), recorded={"organ": [far, wrong]}
    )
    assert clicks_of(prompts)[1:] == [((8, 5, 5), True, 1), ((1, 5, 5), False, 2)]
    assert stop == StopReason(reason="recording-ended", round=2, clicks=3)


def test_a_recording_and_the_plan_must_agree() -> None:
    with pytest.raises(ValueError, match="recording"):
        run_rounds(empty, replace(CLICKS, clicks="shared"))
    with pytest.raises(ValueError, match="recording"):
        run_rounds(empty, CLICKS, recorded={})


def test_cvpr25_runs_every_round_and_corrects_a_failed_one_as_an_empty_mask() -> None:
    plan = RoundPlan(
        count=6, correction="largest-error-click", previous_mask=True, click_rule="cvpr25"
    )

    def fails_at_three(round_prompts: RoundPrompts):
        return CRASH if round_prompts.round == 3 else unresponsive(round_prompts)

    prompts, _, stop = run_rounds(fails_at_three, plan, kind="box")
    # the middle in voxels, where the project's own rule takes millimetres
    assert [index for index, _, _ in clicks_of(prompts)] == [(21, 5, 5)] * 3 + [(5, 5, 5)] + [
        (21, 5, 5)
    ]
    assert prompts[4].previous is None
    assert stop == StopReason(reason="all-rounds", round=5, clicks=6)
    prompts, scores, stop = run_rounds(perfect, plan, kind="box")
    assert scores == [1.0] * 6
    assert stop == StopReason(reason="all-rounds", round=5, clicks=1)


@pytest.mark.parametrize(
    "rule", ["largest-error-click", "random-error-click", "boundary-click", "scribble"]
)
def test_the_same_masks_give_the_same_clicks_at_any_number_of_threads(rule) -> None:
    rng = np.random.default_rng(3)
    noise = [crop_mask(full_array(ORGAN) ^ (rng.random(GRID.shape) < 0.2), GRID) for _ in range(6)]

    def noisy(round_prompts: RoundPrompts):
        return noise[round_prompts.round]

    plan = replace(CLICKS, correction=rule)
    expected = [target.added for target in run_rounds(noisy, plan)[0]]
    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda _: [target.added for target in run_rounds(noisy, plan)[0]], range(8))
        )
    assert all(added == expected for added in results)
