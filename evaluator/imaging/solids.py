"""Solids on a grid: boxes, ellipsoids and balls of voxels whose centres lie in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, nearest_index, to_index, to_world
from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Box, Grid, Index, Millimetres

    #: (3, 3): the rows are the half axes of a solid, mm
    Axes = NDArray[np.float64]

#: a voxel's centre this far outside of a solid counts as inside, relative to its size
_SLACK = 1e-6


def box_mask(box: Box, grid: Grid) -> GridMask:
    """All voxels of a box of indices."""
    shape = tuple(h - l for l, h in zip(box.low, box.high, strict=True))
    return crop_mask(np.ones(shape, dtype=np.bool_), grid, box.low)


def ellipsoid_in_box(box: Box, grid: Grid) -> GridMask:
    """The ellipsoid along the grid's axes that touches the six faces of a box of indices."""
    low, high = np.array(box.low), np.array(box.high)
    middle, half = (low + high - 1) / 2, (high - low) / 2
    i, j, k = np.ogrid[tuple(slice(l, h) for l, h in zip(low, high, strict=True))]
    radius = (
        ((i - middle[0]) / half[0]) ** 2
        + ((j - middle[1]) / half[1]) ** 2
        + ((k - middle[2]) / half[2]) ** 2
    )
    return crop_mask(radius <= 1, grid, box.low)


def solid_mask(grid: Grid, centre: Millimetres, axes: Axes, *, ellipsoid: bool) -> GridMask:
    """A parallelepiped, or the ellipsoid inscribed in it.

    Args:
        grid: the grid of the mask.
        centre: middle of the solid, mm.
        axes: the rows are the half axes from the middle to the faces, mm.
        ellipsoid: the inscribed ellipsoid instead of the parallelepiped.

    Returns:
        The voxels whose centres lie in the solid; the voxel that holds the middle if there is none.
    """
    reach = np.abs(axes).sum(axis=0)
    index = to_index(affine_of(grid), np.array(centre))
    voxels = np.abs(np.linalg.inv(affine_of(grid)[:3, :3])) @ reach
    low = np.maximum(np.floor(index - voxels).astype(int), 0)
    high = np.minimum(np.ceil(index + voxels).astype(int) + 1, grid.shape)
    if (low >= high).any():
        return empty_mask(grid)
    places = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    relative = (to_world(affine_of(grid), places) - centre) @ np.linalg.inv(axes)
    if ellipsoid:
        inside = (relative**2).sum(axis=-1) <= 1 + _SLACK
    else:
        inside = (np.abs(relative) <= 1 + _SLACK).all(axis=-1)
    li, lj, lk = low.tolist()
    mask = crop_mask(inside, grid, (li, lj, lk))
    return mask if not mask.empty else voxel_mask(grid, centre)


def ball_mask(grid: Grid, centre: Millimetres, volume_ml: float) -> GridMask:
    """The ball of a volume about a position, by the voxels whose centres lie in it."""
    radius = (3 * volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    return solid_mask(grid, centre, np.eye(3) * radius, ellipsoid=True)


def voxel_mask(grid: Grid, position: Millimetres) -> GridMask:
    """The voxel that holds a position; empty outside of the grid."""
    index: Index | None = nearest_index(grid, position)
    if index is None:
        return empty_mask(grid)
    return crop_mask(np.ones((1, 1, 1), dtype=np.bool_), grid, index)
