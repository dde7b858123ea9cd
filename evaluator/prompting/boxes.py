"""Boxes: taken once about the anchor's reference, then enclosed by whole voxels on every grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, spacing, to_index, to_world
from zoo_sdk.wire import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.prompting.random_stream import RandomStream
    from evaluator.types import PromptPlan
    from zoo_sdk.wire import Grid

#: a box that reaches into a voxel by less than this part of it does not take that voxel; affines are stored in 32 bits
SLACK_VOXELS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldBox:
    """A box in the world, its edges along the axes of the grid it was taken on: its eight corners, (8, 3) mm."""

    corners: NDArray[np.float64]


def choose_box(mask: GridMask, plan: PromptPlan, chance: RandomStream) -> WorldBox:
    """The tight box about a mask that is not empty, outer faces of the voxels, grown and jittered as planned.

    ``box_growth`` scales the edges by 1 + growth about the centre; then each face moves along its axis by a length
    uniform in ± ``box_jitter_mm``. Faces that would pass each other meet in their middle.
    """
    affine = affine_of(mask.grid)
    low, high = _cvpr25(mask, chance) if plan.box_rule == "cvpr25" else _tight(mask)
    centre, half = (low + high) / 2, (high - low) / 2 * (1 + plan.box_growth)
    low, high = centre - half, centre + half
    if plan.box_jitter_mm > 0:
        j = plan.box_jitter_mm
        moves = np.array([[chance.between(-j, j) for _ in range(3)] for _ in range(2)]) / spacing(
            affine
        )
        low, high = low + moves[0], high + moves[1]
    middle = (low + high) / 2
    low, high = np.minimum(low, middle), np.maximum(high, middle)
    corners = np.array(list(product(*zip(low, high, strict=True))))
    return WorldBox(corners=to_world(affine, corners))


def _tight(mask: GridMask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = np.array(mask.offset) - 0.5
    return low, low + mask.array.shape


def _cvpr25(
    mask: GridMask, chance: RandomStream
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box of the CVPR 2025 interactive challenge: all slices along the last axis, in them that of the middle slice.

    The middle one is that of the slices that hold the mask. Its box is enlarged by 0 to 5 pixels of an image of 256, the
    same on all four sides, and stays in the image. (The challenge draws that number by numpy's generator, once when its
    data are made; here it is chance's.) Source: JunMa11/CVPR-MedSegFMCompetition 748e862 get_boxes.py.
    """
    slices = np.flatnonzero(mask.array.any(axis=(0, 1)))
    middle = mask.array[:, :, slices[len(slices) // 2]]
    more = chance.below(6)
    low, high = np.array(mask.offset), np.array(mask.end)
    for axis in (0, 1):
        held = np.flatnonzero(middle.any(axis=1 - axis)) + mask.offset[axis]
        size = mask.grid.shape[axis]
        shift = more * size // 256
        low[axis], high[axis] = max(held[0] - shift, 0), min(held[-1] + shift, size - 1) + 1
    return low - 0.5, high - 0.5


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
