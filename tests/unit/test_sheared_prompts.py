"""Depth and prompts on grids whose axes are not at right angles, against an exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.imaging.distance_transform import squared_depth
from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.imaging.sheared_depth import squared_depth_on, squared_distance_on
from evaluator.prompting.corrections import correct
from evaluator.prompting.points import choose_positions
from evaluator.prompting.random_stream import RandomStream
from evaluator.types import PromptPlan, RoundPlan

#: a gantry tilted by 25 degrees, anisotropic, flipped and turned about the body's axis
TILT, TURN = np.radians(25), np.radians(10)
ROTATION = np.array([[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])
AXES = ROTATION @ np.array([[-0.9, 0, 0], [0, 0.9, -np.sin(TILT) * 4], [0, 0, np.cos(TILT) * 4]])
AFFINE = np.vstack([np.column_stack([AXES, [3, -7, 11]]), [0, 0, 0, 1]])
SHAPE = (13, 11, 6)


def make_mask() -> np.ndarray:
    i, j, k = np.indices(SHAPE)
    mask = ((i - 6) / 6) ** 2 + ((j - 5) / 5) ** 2 + ((k - 2.5) / 3) ** 2 < 1
    mask[6:8, 2:4, 2:4] = False
    return mask


def exhaustive(mask: np.ndarray, *, layer: int | None = None) -> np.ndarray:
    """Distance of each voxel to the nearest voxel outside, one layer of the border included."""
    padded = np.pad(mask, 2)
    outside = np.argwhere(~padded) - 2
    depth = np.zeros(mask.shape)
    for voxel in np.argwhere(mask):
        others = outside if layer is None else outside[outside[:, layer] == voxel[layer]]
        steps = (others - voxel) @ AXES.T
        depth[tuple(voxel)] = np.sqrt((steps**2).sum(axis=1).min())
    return depth


@pytest.mark.parametrize("layer", [None, 0, 2])
def test_depth_is_measured_in_the_world(layer: int | None) -> None:
    mask = make_mask()
    depth = np.sqrt(squared_depth_on(mask, AFFINE, within=layer))
    np.testing.assert_allclose(depth, exhaustive(mask, layer=layer), atol=1e-9)


def test_depth_on_straight_grids_is_that_of_the_transform() -> None:
    straight = np.diag([0.9, 1.1, 4.0, 1.0])
    expected = squared_depth(make_mask(), (0.9, 1.1, 4.0))
    np.testing.assert_array_equal(squared_depth_on(make_mask(), straight), expected)


def test_distances_to_a_voxel_are_in_the_world() -> None:
    squared = squared_distance_on((3, 2, 1), SHAPE, AFFINE)
    steps = np.argwhere(np.ones(SHAPE)) - (3, 2, 1)
    expected = ((steps @ AXES.T) ** 2).sum(axis=1).reshape(SHAPE)
    np.testing.assert_allclose(squared, expected)


def test_points_and_clicks_are_the_deepest_in_the_world() -> None:
    mask = make_mask()
    reference = crop_mask(mask, make_grid(SHAPE, AFFINE))
    depth = exhaustive(mask)
    voxel = tuple(np.argwhere(depth >= depth.max() - 1e-6)[0])
    (position,) = choose_positions(reference, PromptPlan(kinds=("point",)), RandomStream("any"))
    np.testing.assert_allclose(position, AXES @ voxel + AFFINE[:3, 3])
    nothing = crop_mask(np.zeros(SHAPE, bool), reference.grid)
    plan = RoundPlan(count=2, correction="largest-error-click")
    ((click, is_foreground),) = correct(plan, reference, nothing, RandomStream("any"))
    assert (click, is_foreground) == (voxel, True)
