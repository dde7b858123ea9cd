"""Distance transform against scipy's, ties by the stated rule, points, crops, random streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from evaluator.imaging.distance_transform import first_deepest, squared_depth
from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.imaging.target_masks import crop_targets
from evaluator.prompting.points import choose_positions
from evaluator.prompting.random_stream import RandomStream
from evaluator.types import PromptPlan

masks = arrays(np.bool_, st.tuples(*[st.integers(1, 9)] * 3))
steps = st.tuples(*[st.floats(0.4, 5.0)] * 3)


@settings(max_examples=150, deadline=None)
@given(masks, steps)
def test_depth_is_the_distance_transform_with_the_border_outside(mask, step) -> None:
    expected = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=step)[1:-1, 1:-1, 1:-1]
    assert np.sqrt(squared_depth(mask, step)) == pytest.approx(expected, abs=1e-9)


def test_depth_in_a_large_thick_body_is_exact() -> None:
    i, j, k = np.indices((50, 40, 60))
    body = ((i - 25) / 24) ** 2 + ((j - 20) / 19) ** 2 + ((k - 30) / 29) ** 2 < 1
    padded = ndimage.distance_transform_edt(np.pad(body, 1), sampling=(1.5, 1.5, 2.0))
    expected = padded[1:-1, 1:-1, 1:-1]
    assert np.sqrt(squared_depth(body, (1.5, 1.5, 2.0))) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(masks.filter(np.any), steps)
def test_the_first_of_equally_deep_voxels_is_taken(mask, step) -> None:
    depth = np.sqrt(squared_depth(mask, step))
    deepest = first_deepest(depth**2)
    tied = np.argwhere(depth >= depth.max() - 1e-6)
    assert deepest == tuple(tied[0])


def test_a_slab_of_ties_gives_the_lowest_index() -> None:
    assert first_deepest(squared_depth(np.ones((5, 9, 9), bool), (1.0, 1.0, 1.0))) == (2, 2, 2)


def test_further_points_are_deepest_with_the_earlier_ones_outside() -> None:
    grid = make_grid((40, 9, 9), np.eye(4))
    mask = crop_mask(np.ones((40, 9, 9), bool), grid)
    positions = choose_positions(mask, PromptPlan(kinds=("point",), points=3), RandomStream("any"))
    # depth 5 from index 4 on; then 5 away from both the point and the end; and so on
    assert positions == [(4.0, 4.0, 4.0), (9.0, 4.0, 4.0), (14.0, 4.0, 4.0)]


def test_a_mask_with_fewer_voxels_than_points_gives_them_all() -> None:
    grid = make_grid((4, 4, 4), np.eye(4))
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = mask[2, 3, 1] = True
    for rule in ("deepest", "random"):
        plan = PromptPlan(kinds=("point",), points=5, point_rule=rule)
        positions = choose_positions(crop_mask(mask, grid), plan, RandomStream("any"))
        assert sorted(positions) == [(1.0, 1.0, 1.0), (2.0, 3.0, 1.0)]


def test_random_points_are_interior_and_uniform() -> None:
    grid = make_grid((6, 6, 6), np.eye(4))
    mask = crop_mask(np.ones((6, 6, 6), bool), grid)
    plan = PromptPlan(kinds=("point",), point_rule="random")
    drawn = np.array([choose_positions(mask, plan, RandomStream(seed))[0] for seed in range(1000)])
    assert drawn.min() == 1
    assert drawn.max() == 4
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 64
    chi_squared = ((counts - 1000 / 64) ** 2 / (1000 / 64)).sum()
    assert chi_squared < 110  # 63 degrees of freedom, p < 0.0003


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 8)] * 3), elements=st.integers(0, 4)),
    st.sampled_from("CF"),
)
def test_crops_hold_every_voxel_of_a_target(labels, order) -> None:
    grid = make_grid(labels.shape, np.eye(4))
    crops = crop_targets(
        np.asarray(labels, order=order), grid, {"one": (1,), "two": (2, 4), "none": (9,)}
    )
    for name, values in (("one", (1,)), ("two", (2, 4)), ("none", (9,))):
        expected = np.isin(labels, values)
        assert (crops[name].crop((0, 0, 0), labels.shape) == expected).all()
        assert crops[name].voxel_count == expected.sum()
        assert crops[name].empty == (not expected.any())
        if expected.any():
            edges = [np.flatnonzero(expected.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
            assert crops[name].offset == tuple(edge[0] for edge in edges)
            assert crops[name].array.shape == tuple(edge[-1] - edge[0] + 1 for edge in edges)


def test_a_crop_of_a_part_keeps_its_offset() -> None:
    part = np.zeros((4, 4, 4), bool)
    part[1, 2, 3] = True
    crop = crop_mask(part, make_grid((20, 20, 20), np.eye(4)), offset=(10, 11, 12))
    assert crop.offset == (11, 13, 15)
    assert crop.contains((11, 13, 15))
    assert not crop.contains((11, 13, 14))


def test_random_streams_are_pinned() -> None:
    stream = RandomStream("prompt", 0, "subject", "liver")
    assert [stream.below(1000) for _ in range(4)] == PINNED
    assert RandomStream("ab", "c").fraction() != RandomStream("a", "bc").fraction()


PINNED = [741, 459, 882, 556]


def test_directions_are_unit_and_spread() -> None:
    stream = RandomStream("directions")
    drawn = np.array([stream.direction() for _ in range(600)])
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1.0)
    assert np.abs(drawn.mean(axis=0)).max() < 0.1
    assert (drawn**2).mean(axis=0) == pytest.approx(1 / 3, abs=0.05)
