"""Boxes: chosen once on the anchor's reference, then enclosed by voxels on every grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, spacing, to_index, to_world
from zoo_sdk.wire import Box, BoxMm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.prompting.random_stream import RandomStream
    from evaluator.types import PromptPlan
    from zoo_sdk.wire import Grid, Millimetres

#: a box that reaches into a voxel by less than this part of the voxel does not include it, because
#: affines are stored in 32 bits
SLACK_VOXELS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldBox:
    """A box in the world, its edges along the axes of the grid it was chosen on.

    ``corners``: its eight corners, (8, 3) millimetres.
    """

    corners: NDArray[np.float64]

    def exact(self) -> BoxMm:
        """The box as the contract gives it, in millimetres."""
        first, k, j, i = (self.corners[number] for number in (0, 1, 2, 4))
        axes = [_millimetres((corner - first) / 2) for corner in (i, j, k)]
        centre = _millimetres(self.corners.mean(axis=0))
        return BoxMm(centre=centre, half_axes=(axes[0], axes[1], axes[2]))


def choose_box(mask: GridMask, plan: PromptPlan, rng: RandomStream) -> WorldBox:
    """The tight box about a mask, from the outer faces of its voxels, enlarged as planned.

    ``box_growth`` scales the edges by 1 + growth about the centre; then each face moves along its
    axis by a length uniform in ± ``box_jitter_mm``. Faces that would pass each other meet in their
    middle.
    """
    affine = affine_of(mask.grid)
    low, high = _cvpr25_box(mask, rng) if plan.box_rule == "cvpr25" else _tight_box(mask)
    centre, half = (low + high) / 2, (high - low) / 2 * (1 + plan.box_growth)
    low, high = centre - half, centre + half
    if plan.box_jitter_mm > 0:
        j = plan.box_jitter_mm
        shifts_mm = np.array([rng.between(-j, j) for _ in range(6)]).reshape(2, 3)
        low_shift, high_shift = shifts_mm / spacing(affine)
        low, high = low + low_shift, high + high_shift
    middle = (low + high) / 2
    low, high = np.minimum(low, middle), np.maximum(high, middle)
    corners = np.array(list(product(*zip(low, high, strict=True))))
    return WorldBox(corners=to_world(affine, corners))


def _tight_box(mask: GridMask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = np.array(mask.offset) - 0.5
    return low, low + mask.array.shape


def _cvpr25_box(
    mask: GridMask, rng: RandomStream
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box of the CVPR 2025 interactive challenge.

    Along the last axis the box holds all slices of the mask. In the other two axes it is the box of
    the middle one of these slices, enlarged by 0 to 5 pixels of an image of 256, the same on all
    four sides, and clipped to the image. (The challenge takes that number from numpy's generator,
    once when its data are made; here it comes from ``rng``.) Source:
    JunMa11/CVPR-MedSegFMCompetition 748e862 get_boxes.py.
    """
    slices = np.flatnonzero(mask.array.any(axis=(0, 1)))
    middle = mask.array[:, :, slices[len(slices) // 2]]
    enlargement = rng.below(6)
    low, high = np.array(mask.offset), np.array(mask.end)
    for axis in (0, 1):
        filled = np.flatnonzero(middle.any(axis=1 - axis)) + mask.offset[axis]
        size = mask.grid.shape[axis]
        shift = enlargement * size // 256
        low[axis] = max(filled[0] - shift, 0)
        high[axis] = min(filled[-1] + shift, size - 1) + 1
    return low - 0.5, high - 0.5


def put_box(box: WorldBox, grid: Grid) -> Box | None:
    """The smallest box of voxels that encloses the box, clipped to the grid.

    On a grid that is rotated against the anchor's, the box about the eight corners is larger than
    the anchor's.

    Returns:
        None if the box lies outside the grid.
    """
    corners = to_index(affine_of(grid), box.corners)
    low = np.floor(corners.min(axis=0) + 0.5 + SLACK_VOXELS).astype(int)
    high = np.maximum(np.ceil(corners.max(axis=0) + 0.5 - SLACK_VOXELS).astype(int), low + 1)
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    if (low >= high).any():
        return None
    (li, lj, lk), (hi, hj, hk) = low.tolist(), high.tolist()
    return Box(low=(li, lj, lk), high=(hi, hj, hk))


def _millimetres(vector: NDArray[np.float64]) -> Millimetres:
    x, y, z = (float(value) for value in vector)
    return (x, y, z)
