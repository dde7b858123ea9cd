"""Rounds: simulated models against the simulated user, with the curves and the endings that must come out exactly."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask
from evaluator.prompting import RoundPrompts, SimulatedUser, StopReason, dice, simulate_prompts
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


def whole(mask: GridMask) -> np.ndarray:
    return mask.crop((0, 0, 0), GRID.shape)


LARGE, SMALL = ((2, 2, 2), (9, 9, 9)), ((20, 4, 4), (23, 7, 7))  # 343 and 27 voxels
IN_LARGE, IN_SMALL = (
    (5, 5, 3),
    (21, 5, 4),
)  # the first of their deepest voxels, 4 and 2 mm: layers are 2 mm apart
ORGAN = blocks(LARGE, SMALL)


def played(model, plan=CLICKS, reference=ORGAN, recorded=None, kind="point"):
    """Runs the rounds; returns the asks, the Dice of each round (None: failed) and the ending."""
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
    asks, scores = [], []
    while (ask := user.ask()) is not None:
        asks.append(ask.targets["organ"])
        answer = model(ask)
        scores.append(None if isinstance(answer, Failure) else dice(reference, answer))
        user.tell({"organ": answer})
    return asks, scores, user.stop_reasons["organ"]


def perfect(ask: RoundPrompts):
    return ORGAN


def silent(ask: RoundPrompts):
    return empty_mask(GRID)


def inverted(ask: RoundPrompts):
    return crop_mask(~whole(ORGAN), GRID)


def deaf(ask: RoundPrompts):
    return blocks(LARGE)


def learner(ask: RoundPrompts):
    """Paints the block that a foreground click lies in."""
    clicked = {point.index for point in ask.targets["organ"].prompt.points if point.foreground}
    return blocks(
        *(
            block
            for block in (LARGE, SMALL)
            if any(blocks(block).contains(index) for index in clicked)
        )
    )


def clicks_of(asks):
    return [(point.index, point.foreground, point.round) for point in asks[-1].prompt.points]


def test_a_perfect_model_is_not_corrected() -> None:
    asks, scores, ending = played(perfect)
    assert scores == [1.0]
    assert ending == StopReason(reason="no-error", round=0, clicks=1)
    assert clicks_of(asks) == [(IN_LARGE, True, 0)]


def test_an_empty_model_gets_the_organs_middle_each_time() -> None:
    asks, scores, ending = played(silent)
    assert scores == [0.0] * 6
    assert ending == StopReason(reason="all-rounds", round=5, clicks=6)
    assert clicks_of(asks) == [(IN_LARGE, True, n) for n in range(6)]
    assert all(ask.previous is not None and ask.previous.empty for ask in asks[1:])


def test_an_inverted_model_is_told_background_where_it_spilled_most() -> None:
    asks, scores, ending = played(inverted)
    assert scores == [0.0] * 6
    assert ending.reason == "all-rounds"
    corrections = clicks_of(asks)[1:]
    assert [(index, foreground) for index, foreground, _ in corrections] == [
        ((16, 9, 11), False)
    ] * 5
    assert not ORGAN.contains((16, 9, 11))


def test_a_model_that_ignores_corrections_stays_where_it_is() -> None:
    asks, scores, ending = played(deaf)
    assert scores == [2 * 343 / (343 + 370)] * 6
    assert ending == StopReason(reason="all-rounds", round=5, clicks=6)
    assert clicks_of(asks)[1:] == [(IN_SMALL, True, n) for n in range(1, 6)]


def test_a_model_that_learns_is_done_when_it_is_perfect() -> None:
    asks, scores, ending = played(learner)
    assert scores == [2 * 343 / (343 + 370), 1.0]
    assert ending == StopReason(reason="no-error", round=1, clicks=2)
    assert [len(ask.added) for ask in asks] == [0, 1]
    assert asks[1].previous is not None
    assert (whole(asks[1].previous) == whole(blocks(LARGE))).all()


def test_a_failed_round_is_asked_again_without_a_mask_and_without_a_new_click() -> None:
    def fails_at_three(ask: RoundPrompts):
        return CRASH if ask.round == 3 else deaf(ask)

    asks, scores, ending = played(fails_at_three)
    good = 2 * 343 / (343 + 370)
    assert scores == [good, good, good, None, good, good]
    assert [ask.clicks for ask in asks] == [1, 2, 3, 4, 4, 5]
    assert asks[4].prompt == asks[3].prompt
    assert asks[4].added == ()
    assert asks[4].previous is None  # never the mask of round 2
    assert asks[5].previous is not None
    assert ending == StopReason(reason="all-rounds", round=5, clicks=5)


def test_a_model_that_always_fails_gets_every_round_and_no_clicks() -> None:
    asks, scores, ending = played(lambda ask: CRASH)
    assert scores == [None] * 6
    assert [ask.clicks for ask in asks] == [1] * 6
    assert ending == StopReason(reason="all-rounds", round=5, clicks=1)


def test_the_mask_is_handed_back_only_if_the_plan_says_so() -> None:
    asks, _, _ = played(deaf, replace(CLICKS, previous_mask=False))
    assert all(ask.previous is None for ask in asks)


def test_a_target_stops_at_the_wanted_dice() -> None:
    _, scores, ending = played(deaf, replace(CLICKS, stop_at_dice=0.96))
    assert len(scores) == 1
    assert ending.reason == "dice-reached"
    assert len(played(deaf, replace(CLICKS, stop_at_dice=0.97))[1]) == 6


def test_a_target_stops_when_its_clicks_are_spent() -> None:
    asks, scores, ending = played(deaf, replace(CLICKS, max_clicks=3))
    assert [ask.clicks for ask in asks] == [1, 2, 3]
    assert len(scores) == 3
    assert ending == StopReason(reason="clicks-spent", round=2, clicks=3)


def test_a_box_counts_as_one_interaction_and_stays() -> None:
    asks, _, ending = played(learner, kind="box")
    assert asks[0].prompt.box == asks[-1].prompt.box
    assert asks[0].prompt.box is not None
    assert [ask.clicks for ask in asks] == [1, 2, 3]
    assert clicks_of(asks) == [(IN_LARGE, True, 1), (IN_SMALL, True, 2)]
    assert ending.reason == "no-error"


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
    copy = pickle.loads(pickle.dumps(user))  # noqa: S301 - its own bytes
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
    asks, _, ending = played(silent, RoundPlan())
    assert len(asks) == 1
    assert ending == StopReason(reason="all-rounds", round=0, clicks=1)


def test_scribbles_are_drawn_through_the_error_and_kept() -> None:
    plan = RoundPlan(count=3, correction="scribble", previous_mask=True)
    rod = blocks(((3, 5, 5), (24, 8, 8)))
    asks, _, _ = played(silent, plan, rod)
    assert asks[0].scribble is None
    assert asks[1].scribble is not None
    assert sorted(map(tuple, np.argwhere(whole(asks[1].scribble)))) == [
        (i, 6, 5) for i in range(3, 24)
    ]
    assert [len(ask.prompt.points) for ask in asks] == [1, 1, 1]
    assert [ask.clicks for ask in asks] == [1, 2, 3]


def test_a_scribble_in_the_background_is_given_as_background_points() -> None:
    plan = RoundPlan(count=2, correction="scribble")
    asks, _, _ = played(lambda ask: blocks(LARGE, SMALL, ((3, 12, 10), (27, 15, 13))), plan, ORGAN)
    assert asks[1].scribble is None
    given = [point for point in asks[1].prompt.points if not point.foreground]
    assert [point.index for point in given] == [(i, 13, 10) for i in range(3, 27)]


def test_two_scribbles_add_up() -> None:
    plan = RoundPlan(count=3, correction="scribble")
    first, second = ((3, 5, 5), (24, 8, 8)), ((3, 14, 10), (12, 17, 13))
    answers = [empty_mask(GRID), blocks(first), blocks(first)]
    asks, _, _ = played(lambda ask: answers[ask.round], plan, blocks(first, second))
    assert asks[2].scribble is not None
    assert asks[2].scribble.voxel_count == 21 + 9


def test_shared_clicks_are_the_recorded_ones_whatever_the_model_does() -> None:
    asks, _, _ = played(deaf, replace(CLICKS, count=4))
    recorded = {"organ": [point for ask in asks for point in ask.added]}
    shared = replace(CLICKS, count=4, clicks="shared")
    outcomes = [
        played(model, shared, recorded=recorded)
        for model in (perfect, silent, inverted, lambda ask: CRASH)
    ]
    for replayed, _, ending in outcomes:
        assert [ask.prompt.points for ask in replayed] == [ask.prompt.points for ask in asks]
        assert ending == StopReason(reason="all-rounds", round=3, clicks=4)


def test_a_shared_click_is_put_where_it_is_true_on_this_image() -> None:
    """The recorded foreground click lies outside this image's reference, the background click inside it."""
    far = Point(index=(0, 0, 0), ras_mm=(12.0, 5.0, 10.0), foreground=True, round=1)
    wrong = Point(index=(0, 0, 0), ras_mm=(2.0, 5.0, 10.0), foreground=False, round=2)
    asks, _, ending = played(
        silent, replace(CLICKS, clicks="shared"), recorded={"organ": [far, wrong]}
    )
    assert clicks_of(asks)[1:] == [((8, 5, 5), True, 1), ((1, 5, 5), False, 2)]
    assert ending == StopReason(reason="recording-ended", round=2, clicks=3)


def test_a_recording_and_the_plan_must_agree() -> None:
    with pytest.raises(ValueError, match="recording"):
        played(silent, replace(CLICKS, clicks="shared"))
    with pytest.raises(ValueError, match="recording"):
        played(silent, CLICKS, recorded={})


def test_cvpr25_asks_every_round_and_corrects_a_failed_one_as_an_empty_mask() -> None:
    plan = RoundPlan(
        count=6, correction="largest-error-click", previous_mask=True, click_rule="cvpr25"
    )

    def fails_at_three(ask: RoundPrompts):
        return CRASH if ask.round == 3 else deaf(ask)

    asks, _, ending = played(fails_at_three, plan, kind="box")
    # the middle in voxels, where the project's own rule takes millimetres
    assert [index for index, _, _ in clicks_of(asks)] == [(21, 5, 5)] * 3 + [(5, 5, 5)] + [
        (21, 5, 5)
    ]
    assert asks[4].previous is None
    assert ending == StopReason(reason="all-rounds", round=5, clicks=6)
    asks, scores, ending = played(perfect, plan, kind="box")
    assert scores == [1.0] * 6
    assert ending == StopReason(reason="all-rounds", round=5, clicks=1)


@pytest.mark.parametrize(
    "rule", ["largest-error-click", "random-error-click", "boundary-click", "scribble"]
)
def test_the_same_masks_give_the_same_clicks_at_any_number_of_threads(rule) -> None:
    rng = np.random.default_rng(3)
    noise = [crop_mask(whole(ORGAN) ^ (rng.random(GRID.shape) < 0.2), GRID) for _ in range(6)]

    def noisy(ask: RoundPrompts):
        return noise[ask.round]

    plan = replace(CLICKS, correction=rule)
    alone = [ask.added for ask in played(noisy, plan)[0]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: [ask.added for ask in played(noisy, plan)[0]], range(8)))
    assert all(added == alone for added in together)
