"""Prompts: one physical position for all images of a subject, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.imaging.geometry import affine_of, make_grid, spacing, to_index, to_world
from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask
from evaluator.prompting.initial_prompts import NoPrompt, choose_kind, simulate_prompts
from evaluator.types import ModelCard, PromptPlan, TargetPrompt

POINT = PromptPlan(kinds=("point",))
BOX = PromptPlan(kinds=("box",))


def rotation(angles):
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [x for x in range(3) if x != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def ball_on(grid, centre=(3.0, -5.0, 8.0), radius=14.0):
    """A synthetic ball in world millimetres, painted on a grid; the same ball on every grid."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    positions = to_world(affine_of(grid), index.reshape(-1, 3).astype(float)).reshape(
        *grid.shape, 3
    )
    return crop_mask(np.linalg.norm(positions - centre, axis=-1) <= radius, grid)


def grid_about(shape, step, angles=(0, 0, 0), flips=(1, 1, 1), centre=(0.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) @ np.diag(np.array(step) * flips)
    affine[:3, 3] = np.array(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return make_grid(shape, affine)


grids = st.builds(
    grid_about,
    st.tuples(*[st.integers(24, 34)] * 3),
    st.tuples(*[st.floats(1.7, 3.5)] * 3),
    st.tuples(*[st.floats(-0.7, 0.7)] * 3),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
    st.tuples(*[st.floats(-4, 4)] * 3),
)


def simulate(masks, kind="point", plan=POINT, seed=0, subject="s1", **options):
    return simulate_prompts(
        masks, target="liver", kind=kind, plan=plan, seed=seed, subject=subject, **options
    )


@settings(max_examples=40, deadline=None)
@given(grids, grids, st.sampled_from(["deepest", "random"]), st.integers(1, 4))
def test_every_grid_gets_the_voxel_that_holds_the_position(ct, pt, rule, count) -> None:
    masks = {"CT": ball_on(ct), "PT": ball_on(pt)}
    prompts = simulate(masks, plan=PromptPlan(kinds=("point",), points=count, point_rule=rule))
    assert len(prompts["CT"].points) == count
    assert prompts["CT"].displacement_mm == 0.0
    positions = [np.array(point.ras_mm) for point in prompts["CT"].points]
    for modality, grid in (("CT", ct), ("PT", pt)):
        for point in prompts[modality].points:
            assert masks[modality].contains(point.index)
            assert point.foreground
            assert to_world(affine_of(grid), np.array(point.index, float)) == pytest.approx(
                np.array(point.ras_mm)
            )
    if prompts["PT"].displacement_mm == 0.0:
        used = [np.array(point.index) for point in prompts["PT"].points]
        for position in positions:
            # within half a voxel along each axis; a place in the middle between two is in either
            assert (
                min(np.abs(to_index(affine_of(pt), position) - index).max() for index in used)
                <= 0.5 + 1e-6
            )


@settings(max_examples=30, deadline=None)
@given(grids, grids, st.sampled_from(["point", "box"]), st.integers(0, 9))
def test_the_order_of_the_modalities_does_not_matter(ct, pt, kind, seed) -> None:
    plan = PromptPlan(
        kinds=(kind,),
        points=2,
        point_rule="random",
        point_offset_mm=3.0,
        box_jitter_mm=4.0,
        box_growth=0.1,
    )
    masks = {"CT": ball_on(ct), "PT": ball_on(pt)}
    reordered = dict(reversed(list(masks.items())))
    assert simulate(masks, kind, plan, seed) == simulate(reordered, kind, plan, seed)


def nearest_by_search(mask: GridMask, position):
    voxels = np.argwhere(mask.array) + mask.offset
    return np.linalg.norm(
        to_world(affine_of(mask.grid), voxels.astype(float)) - position, axis=1
    ).min()


@settings(max_examples=40, deadline=None)
@given(grids, grids, st.tuples(*[st.floats(-12, 12)] * 3))
def test_a_position_outside_the_reference_moves_to_the_nearest_voxel(ct, pt, shift) -> None:
    anchor, pet = ball_on(ct), ball_on(pt, centre=np.array((3.0, -5.0, 8.0)) + shift, radius=7.0)
    if pet.empty:
        return
    prompts = simulate({"CT": anchor, "PT": pet})
    position = np.array(prompts["CT"].points[0].ras_mm)
    (used,) = prompts["PT"].points
    assert pet.contains(used.index)
    # half way between two voxels the position belongs to the later one, whatever its last bits
    voxel = tuple(np.floor(to_index(affine_of(pt), position) + 0.5 + 1e-9).astype(int))
    expected = 0.0 if pet.contains(voxel) else nearest_by_search(pet, position)
    assert prompts["PT"].displacement_mm == pytest.approx(expected)
    if expected:
        assert np.linalg.norm(np.array(used.ras_mm) - position) == pytest.approx(expected)


def test_a_position_far_outside_the_grid_still_finds_the_reference() -> None:
    far = grid_about((10, 10, 10), (2, 2, 2), centre=(400, 0, 0))
    mask = np.zeros((10, 10, 10), bool)
    mask[2, 3, 4] = True
    prompts = simulate(
        {"CT": ball_on(grid_about((24, 24, 24), (2, 2, 2))), "PT": crop_mask(mask, far)}
    )
    assert prompts["PT"].points[0].index == (2, 3, 4)
    assert prompts["PT"].displacement_mm > 350


def test_the_anchor_is_the_first_modality_with_a_voxel() -> None:
    grid = grid_about((24, 24, 24), (2, 2, 2))
    prompts = simulate({"PT": ball_on(grid), "CT": empty_mask(grid), "MR": ball_on(grid, radius=6)})
    assert prompts["PT"].anchor == prompts["MR"].anchor == "MR"
    assert prompts["CT"] == NoPrompt(target="liver", reason="empty-reference")


@pytest.mark.parametrize("kind", ["point", "box", "text", "class"])
def test_empty_references_get_no_prompt_of_any_kind(kind) -> None:
    grid = grid_about((9, 9, 9), (2, 2, 2))
    prompts = simulate(
        {"CT": empty_mask(grid), "PT": empty_mask(grid)}, kind, PromptPlan(kinds=(kind,))
    )
    assert set(prompts.values()) == {NoPrompt(target="liver", reason="empty-reference")}


def test_a_plan_without_an_anchor_among_the_images_gives_no_prompt() -> None:
    mask = ball_on(grid_about((24, 24, 24), (2, 2, 2)))
    prompts = simulate({"PT": mask}, plan=PromptPlan(kinds=("point",), anchor=("CT",)))
    assert prompts["PT"] == NoPrompt(target="liver", reason="no-anchor")


def test_random_prompts_depend_on_seed_subject_and_target() -> None:
    masks = {"CT": ball_on(grid_about((24, 24, 24), (2, 2, 2)))}
    plan = PromptPlan(kinds=("point",), point_rule="random")
    first = simulate(masks, plan=plan)["CT"].points
    assert simulate(masks, plan=plan)["CT"].points == first
    assert simulate(masks, plan=plan, seed=1)["CT"].points != first
    assert simulate(masks, plan=plan, subject="s2")["CT"].points != first


def test_random_points_are_pinned() -> None:
    """Synthetic ball; a change here changes every run's random prompts."""
    masks = {"CT": ball_on(grid_about((24, 26, 28), (2, 2, 1.5)))}
    plan = PromptPlan(kinds=("point",), points=3, point_rule="random", point_offset_mm=2.0)
    assert [point.index for point in simulate(masks, plan=plan, seed=7)["CT"].points] == PINNED


PINNED = [(8, 8, 21), (14, 15, 18), (10, 6, 21)]


def test_a_moved_point_lies_exactly_at_the_offset() -> None:
    grid = grid_about((60, 60, 60), (0.5, 0.5, 0.5))
    mask = crop_mask(np.ones((60, 60, 60), bool), grid)
    still = np.array(simulate({"CT": mask})["CT"].points[0].ras_mm)
    plan = PromptPlan(kinds=("point",), point_offset_mm=5.0)
    for seed in range(5):
        moved = np.array(simulate({"CT": mask}, plan=plan, seed=seed)["CT"].points[0].ras_mm)
        assert np.linalg.norm(moved - still) == pytest.approx(
            5.0, abs=0.45
        )  # half a voxel's diagonal


@settings(max_examples=40, deadline=None)
@given(grids, grids)
def test_a_box_is_tight_on_the_anchor_and_encloses_it_on_other_grids(ct, pt) -> None:
    anchor, pet = ball_on(ct), ball_on(pt)
    prompts = simulate({"CT": anchor, "PT": pet}, "box", BOX)
    box = prompts["CT"].box
    assert box.low == anchor.offset
    assert tuple(h - l for l, h in zip(box.low, box.high, strict=True)) == anchor.array.shape
    faces = [(l - 0.5, h - 0.5) for l, h in zip(box.low, box.high, strict=True)]
    corners = np.array(np.meshgrid(*faces))
    on_pt = to_index(affine_of(pt), to_world(affine_of(ct), corners.reshape(3, -1).T))
    low, high = np.array(prompts["PT"].box.low) - 0.5, np.array(prompts["PT"].box.high) - 0.5
    inside = np.clip(on_pt, -0.5, np.array(pt.shape) - 0.5)
    assert (inside >= low - 1e-3).all()
    assert (inside <= high + 1e-3).all()
    assert (np.abs(low - inside.min(axis=0)) < 1 + 1e-3).all()
    assert (np.abs(high - inside.max(axis=0)) < 1 + 1e-3).all()


def test_a_grown_box_has_longer_edges_and_a_shrunk_one_shorter() -> None:
    grid = grid_about((40, 40, 40), (1, 1, 2))
    mask = np.zeros((40, 40, 40), bool)
    mask[10:30, 10:20, 15:25] = True
    masks = {"CT": crop_mask(mask, grid)}
    assert simulate(masks, "box", PromptPlan(kinds=("box",), box_growth=0.2))["CT"].box == boxed(
        (8, 9, 14), (32, 21, 26)
    )
    assert simulate(masks, "box", PromptPlan(kinds=("box",), box_growth=-0.2))["CT"].box == boxed(
        (12, 11, 16), (28, 19, 24)
    )
    clipped = simulate(masks, "box", PromptPlan(kinds=("box",), box_growth=5.0))["CT"].box
    assert clipped == boxed((0, 0, 0), (40, 40, 40))


def boxed(low, high):
    from zoo_sdk.wire import Box

    return Box(low=low, high=high)


def test_a_jittered_box_keeps_each_face_within_the_jitter() -> None:
    grid = grid_about((40, 40, 40), (1, 1, 2))
    mask = np.zeros((40, 40, 40), bool)
    mask[10:30, 10:20, 15:25] = True
    boxes = set()
    for seed in range(8):
        box = simulate(
            {"CT": crop_mask(mask, grid)},
            "box",
            PromptPlan(kinds=("box",), box_jitter_mm=4.0),
            seed,
        )["CT"].box
        boxes.add(box)
        assert (np.abs(np.array(box.low) - (10, 10, 15)) <= (4, 4, 2)).all()
        assert (np.abs(np.array(box.high) - (30, 20, 25)) <= (4, 4, 2)).all()
    assert len(boxes) == 8


def test_a_box_is_never_inverted() -> None:
    grid = grid_about((20, 20, 20), (1, 1, 1))
    mask = np.zeros((20, 20, 20), bool)
    mask[10, 10, 10] = True
    for seed in range(20):
        plan = PromptPlan(kinds=("box",), box_jitter_mm=5.0, box_growth=-0.9)
        box = simulate({"CT": crop_mask(mask, grid)}, "box", plan, seed)["CT"].box
        assert all(l < h for l, h in zip(box.low, box.high, strict=True))


def test_a_box_outside_another_grid_gives_no_prompt() -> None:
    near, far = (
        grid_about((24, 24, 24), (2, 2, 2)),
        grid_about((24, 24, 24), (2, 2, 2), centre=(300, 0, 0)),
    )
    prompts = simulate({"CT": ball_on(near), "PT": ball_on(far, centre=(300, 0, 0))}, "box", BOX)
    assert prompts["PT"] == NoPrompt(target="liver", reason="outside-grid")


def test_text_and_class_are_the_same_everywhere() -> None:
    masks = {"CT": ball_on(grid_about((24, 24, 24), (2, 2, 2)))}
    assert simulate(masks, "text", texts={"liver": "hepatic tissue"})["CT"] == TargetPrompt(
        target="liver", text="hepatic tissue"
    )
    assert simulate(masks, "class")["CT"] == TargetPrompt(target="liver")


def card(*prompts):
    return ModelCard(
        name="m",
        title="m",
        contract="1",
        inputs=(("CT",),),
        units={},
        prompts=prompts,
        targets=None,
    )


@pytest.mark.parametrize(
    ("kinds", "prompts", "chosen"),
    [
        (("point", "text", "class"), ("point", "box"), "point"),
        (("point", "text", "class"), ("text",), "text"),
        (("point", "text", "class"), (), "class"),
        (("box",), ("point",), None),
        (("box",), (), None),
        (("text", "class"), ("point",), None),
    ],
)
def test_a_model_gets_the_first_kind_it_understands(kinds, prompts, chosen) -> None:
    assert choose_kind(PromptPlan(kinds=kinds), card(*prompts)) == chosen


def test_spacing_is_what_the_tests_think() -> None:
    assert spacing(
        affine_of(grid_about((4, 4, 4), (1.5, 2, 3), (0.3, 0.2, 0.1), (-1, 1, 1)))
    ) == pytest.approx((1.5, 2, 3))
