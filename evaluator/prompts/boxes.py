"""Boxes: taken once about the anchor's reference, then enclosed by whole voxels on every grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.geometry import affine_of, spacing, to_index, to_world
from zoo_sdk.wire import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.masks import GridMask
    from evaluator.prompts.chance import Chance
    from evaluator.types import PromptPlan
    from zoo_sdk.wire import Grid

#: a box that reaches into a voxel by less than this part of it does not take that voxel; affines are stored in 32 bits
SLACK_VOXELS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldBox:
    """A box in the world, its edges along the axes of the grid it was taken on: its eight corners, (8, 3) mm."""

    corners: NDArray[np.float64]


def choose_box(mask: GridMask, plan: PromptPlan, chance: Chance) -> WorldBox:
    """The tight box about a mask that is not empty, outer faces of the voxels, grown and jittered as planned.

    ``box_growth`` scales the edges by 1 + growth about the centre; then each face moves along its axis by a length
    uniform in ± ``box_jitter_mm``. Faces that would pass each other meet in their middle.
    """
    affine = affine_of(mask.grid)
    low = np.array(mask.corner) - 0.5
    high = low + mask.inside.shape
    centre, half = (low + high) / 2, (high - low) / 2 * (1 + plan.box_growth)
    low, high = centre - half, centre + half
    if plan.box_jitter_mm > 0:
        j = plan.box_jitter_mm
        moves = np.array([[chance.between(-j, j) for _ in range(3)] for _ in range(2)]) / spacing(affine)
        low, high = low + moves[0], high + moves[1]
    middle = (low + high) / 2
    low, high = np.minimum(low, middle), np.maximum(high, middle)
    corners = np.array(list(product(*zip(low, high, strict=True))))
    return WorldBox(corners=to_world(affine, corners))


def put_box(box: WorldBox, grid: Grid) -> Box | None:
    """The smallest box of whole voxels that holds the box, clipped to the grid; None if it lies outside the grid.

    On a grid that is turned against the anchor's, the box about the eight corners is larger than the anchor's.
    """
    corners = to_index(affine_of(grid), box.corners)
    low = np.floor(corners.min(axis=0) + 0.5 + SLACK_VOXELS).astype(int)
    high = np.maximum(np.ceil(corners.max(axis=0) + 0.5 - SLACK_VOXELS).astype(int), low + 1)
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    if (low >= high).any():
        return None
    (li, lj, lk), (hi, hj, hk) = low.tolist(), high.tolist()
    return Box(low=(li, lj, lk), high=(hi, hj, hk))
