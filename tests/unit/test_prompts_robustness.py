"""Prompts that are wrong on purpose, and the box of the CVPR 2025 challenge.

Wrong are points outside the organ and the names of other organs.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.errors import ManifestError
from evaluator.imaging.geometry import affine_of, spacing, to_index, to_world
from evaluator.imaging.grid_masks import crop_mask
from evaluator.prompting.initial_prompts import NoPrompt, simulate_prompts
from evaluator.prompting.random_stream import RandomStream
from evaluator.types import PromptPlan
from evaluator.zoo.cards import parse_card, read_text_prompts
from tests.unit.test_prompts import ball_on, grid_about, grids
from zoo_sdk.wire import Box


def points_outside(masks, distance, seed=0, subject="s1"):
    plan = PromptPlan(kinds=("point",), point_outside_mm=distance)
    return simulate_prompts(
        masks, target="liver", kind="point", plan=plan, seed=seed, subject=subject
    )


@settings(max_examples=40, deadline=None)
@given(grids, grids, st.sampled_from([5.0, 10.0]), st.integers(0, 5))
def test_a_point_outside_lies_outside_on_every_grid_and_is_foreground(
    ct, pt, distance, seed
) -> None:
    masks = {"CT": ball_on(ct), "PT": ball_on(pt)}
    prompts = points_outside(masks, distance, seed)
    for modality, mask in masks.items():
        (point,) = prompts[modality].points
        assert point.foreground
        assert not mask.contains(point.index)
        assert prompts[modality].anchor == "CT"
        voxels = to_world(affine_of(mask.grid), np.argwhere(mask.array) + mask.offset)
        distance_to_mask = np.linalg.norm(voxels - point.ras_mm, axis=1).min()
        slack = np.linalg.norm(spacing(affine_of(mask.grid)))
        # a ray from a ball's centre is the shortest way out, so the distance is the requested one,
        # except for a position outside the grid
        assert abs(distance_to_mask - distance) <= slack + prompts[modality].displacement_mm


def test_a_point_outside_is_the_same_for_all_images_and_every_time() -> None:
    masks = {
        "CT": ball_on(grid_about((60, 60, 60), (1, 1, 1))),
        "PT": ball_on(grid_about((60, 60, 60), (1, 1, 1))),
    }
    first = points_outside(masks, 10.0)
    assert first["CT"].points == first["PT"].points
    assert points_outside(dict(reversed(list(masks.items()))), 10.0) == first
    assert len({points_outside(masks, 10.0, seed)["CT"].points for seed in range(6)}) == 6


def test_a_ray_leaves_a_hollow_organ_for_the_last_time() -> None:
    """A shell about a ball: the point is outside of both, not in the gap between them."""
    grid = grid_about((60, 60, 60), (1, 1, 1))
    far = np.linalg.norm(np.moveaxis(np.indices(grid.shape), 0, -1) - 29.5, axis=-1)
    mask = crop_mask((far <= 12) | ((far >= 16) & (far <= 20)), grid)
    for seed in range(10):
        (point,) = points_outside({"CT": mask}, 3.0, seed)["CT"].points
        assert far[point.index] == pytest.approx(23, abs=1.5)


def test_a_position_outside_the_grid_moves_to_its_edge() -> None:
    grid = grid_about((12, 12, 12), (1, 1, 1))
    organ = np.zeros(grid.shape, bool)
    organ[1:11, 1:11, 1:11] = True
    for seed in range(10):
        prompts = points_outside({"CT": crop_mask(organ, grid)}, 20.0, seed)["CT"]
        assert not organ[prompts.points[0].index]
        assert prompts.displacement_mm > 10
    full = points_outside({"CT": crop_mask(np.ones(grid.shape, bool), grid)}, 5.0)
    assert full["CT"] == NoPrompt(target="liver", reason="outside-grid")


def wrong_text(texts, seed=0, target="liver", subject="s1"):
    masks = {
        "CT": ball_on(grid_about((24, 24, 24), (2, 2, 2))),
        "PT": ball_on(grid_about((24, 24, 24), (2, 2, 2))),
    }
    plan = PromptPlan(kinds=("text",), text_of="other")
    prompts = simulate_prompts(
        masks, target=target, kind="text", plan=plan, seed=seed, subject=subject, texts=texts
    )
    assert prompts["CT"] == prompts["PT"]
    return prompts["CT"].text, prompts["CT"].text_of


def test_a_wrong_text_names_another_organ_and_is_recorded() -> None:
    texts = {"liver": "liver", "kidney-left": "left kidney", "spleen": "spleen", "lung": "lung"}
    prompts = {wrong_text(texts, seed) for seed in range(40)}
    assert prompts == {("left kidney", "kidney-left"), ("spleen", "spleen"), ("lung", "lung")}
    assert wrong_text(texts, 3) == wrong_text(dict(reversed(list(texts.items()))), 3)
    assert wrong_text({"liver": "liver"}) == ("liver", None)


def test_the_challenges_box_is_the_middle_slices_over_all_slices() -> None:
    grid = grid_about((128, 512, 40), (1, 1, 3))
    organ = np.zeros(grid.shape, bool)
    organ[20:90, 100:300, 5:9] = True  # wide below
    organ[50:60, 200:220, 9:20] = True  # and narrow where the middle is
    mask = crop_mask(organ, grid)
    plan, boxes = PromptPlan(kinds=("box",), box_rule="cvpr25"), set()
    for seed in range(60):
        box = simulate_prompts(
            {"CT": mask}, target="liver", kind="box", plan=plan, seed=seed, subject="s"
        )["CT"].box
        boxes.add(box)
    # n pixels of an image of 256, counted down to whole voxels along either axis
    assert boxes == {
        Box(
            low=(50 - n * 128 // 256, 200 - n * 512 // 256, 5),
            high=(60 + n * 128 // 256, 220 + n * 512 // 256, 20),
        )
        for n in range(6)
    }


def test_the_challenges_box_stays_in_the_image_and_takes_the_upper_middle() -> None:
    grid = grid_about((256, 256, 10), (1, 1, 3))
    organ = np.zeros(grid.shape, bool)
    organ[0:3, 250:256, 2] = True
    organ[100:103, 50:56, 7] = True  # of two slices with a gap the second is in the middle
    for mask, low, high in (
        (organ, (100, 50), (103, 56)),
        (organ & (np.arange(10) < 5), (0, 250), (3, 256)),
    ):
        for seed in range(8):
            box = simulate_prompts(
                {"CT": crop_mask(mask, grid)},
                target="x",
                kind="box",
                plan=PromptPlan(kinds=("box",), box_rule="cvpr25"),
                seed=seed,
                subject="s",
            )["CT"].box
            enlargement = RandomStream("prompt", seed, "s", "x", "box").below(6)
            assert box.low[:2] == tuple(max(l - enlargement, 0) for l in low)
            assert box.high[:2] == tuple(min(h + enlargement, 256) for h in high)
            assert (box.low[2], box.high[2]) == ((2, 8) if mask is organ else (2, 3))


def card(texts):
    return parse_card(
        {"umd.contract": "1", "umd.name": "m", "umd.inputs": "CT", "umd.texts": texts}
    )


def test_a_card_gives_the_texts_of_its_model() -> None:
    assert read_text_prompts(card("bladder=urinary bladder; lesion = tumor ;")) == {
        "bladder": "urinary bladder",
        "lesion": "tumor",
    }
    assert read_text_prompts(card("")) == {}


@pytest.mark.parametrize("texts", ["bladder", "=tumor", "bladder=", "a=b; a=c"])
def test_texts_that_cannot_be_parsed_are_refused(texts) -> None:
    with pytest.raises(ManifestError, match=r"label umd\.texts"):
        read_text_prompts(card(texts))


def test_the_tight_rule_gives_the_tight_box() -> None:
    """The tight rule does not depend on the challenge's rule."""
    mask = ball_on(grid_about((24, 24, 24), (2, 2, 2)))
    box = simulate_prompts(
        {"CT": mask}, target="x", kind="box", plan=PromptPlan(kinds=("box",)), seed=0, subject="s"
    )["CT"].box
    assert (box.low, box.high) == (mask.offset, mask.end)
    assert to_index(
        affine_of(mask.grid), to_world(affine_of(mask.grid), np.array(box.low))
    ) == pytest.approx(box.low)
