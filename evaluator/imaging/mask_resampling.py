"""A mask on another grid: a voxel belongs to it if at least half of the voxel does.

The share of a voxel that lies in the mask is measured at points that are spread evenly over the
voxel: along each axis two for each voxel of the mask's grid, at least three and at most
``MOST_POINTS``. Where voxels are at most half as large as those of the mask's grid, their centres
are taken; this is nearest-neighbour interpolation.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, spacing, to_index, to_world
from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid, Index

#: points along one axis of a voxel
MOST_POINTS = 8
#: a share this much below one half counts as half: sums of positions are rounded
_SLACK = 1e-6


def resample_mask(mask: GridMask, grid: Grid) -> GridMask:
    """The mask on another grid, by the voxels of which at least half lies in it.

    Args:
        mask: the mask on its own grid.
        grid: the other grid, in the same world.

    Returns:
        The mask on ``grid``. What lies outside of ``grid`` is lost. A mask smaller than half a
        voxel may become empty.
    """
    if mask.empty:
        return empty_mask(grid)
    if grid == mask.grid:
        return mask
    box = covered_voxels(mask, grid)
    if box is None:
        return empty_mask(grid)
    low, high = box
    share = np.zeros(tuple(h - l for l, h in zip(low, high, strict=True)), dtype=np.float32)
    points = list(_points(mask.grid, grid))
    for point in points:
        share += _values(mask, grid, low, share.shape, point)
    return crop_mask(share >= len(points) * (0.5 - _SLACK), grid, low)


def covered_voxels(mask: GridMask, grid: Grid) -> tuple[Index, Index] | None:
    """The half-open box of voxels of ``grid`` around a mask of another grid.

    None if the mask lies outside of ``grid``.
    """
    low, high = np.array(mask.offset) - 0.5, np.array(mask.end) - 0.5
    corners = np.array(list(product(*zip(low, high, strict=True))))
    index = to_index(affine_of(grid), to_world(affine_of(mask.grid), corners))
    first = np.maximum(np.floor(index.min(axis=0) + 0.5).astype(int), 0)
    last = np.minimum(np.ceil(index.max(axis=0) + 0.5).astype(int), grid.shape)
    if (first >= last).any():
        return None
    (li, lj, lk), (hi, hj, hk) = first.tolist(), last.tolist()
    return (li, lj, lk), (hi, hj, hk)


def _points(source: Grid, grid: Grid) -> Iterator[tuple[float, float, float]]:
    """Positions within a voxel of ``grid``, in its voxels, relative to the centre."""
    sizes = np.array(spacing(affine_of(grid))) / min(spacing(affine_of(source)))
    counts = np.clip(np.ceil(2 * sizes), 3, MOST_POINTS).astype(int)
    if (sizes <= 0.5 + _SLACK).all():
        counts[:] = 1
    along = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    for i, j, k in product(*along):
        yield float(i), float(j), float(k)


def _values(
    mask: GridMask,
    grid: Grid,
    low: Index,
    shape: tuple[int, ...],
    point: tuple[float, float, float],
) -> NDArray[np.bool_]:
    """Whether a point of each voxel of a box lies in the mask."""
    across = np.linalg.inv(affine_of(mask.grid)) @ affine_of(grid)
    start = across[:3, :3] @ (np.array(low) + point) + across[:3, 3] - mask.offset + 0.5
    # rounding of the affines must not decide between two voxels
    axes = [across[:3, axis, None] * np.arange(count) for axis, count in enumerate(shape)]
    inside = np.ones(shape, dtype=np.bool_)
    flat = np.zeros(shape, dtype=np.int64)
    stride = 1
    for axis in (2, 1, 0):
        i, j, k = (steps[axis] for steps in axes)
        position = start[axis] + i[:, None, None] + j[None, :, None] + k[None, None, :]
        voxel = np.floor(position + 1e-6).astype(np.int64)
        inside &= (voxel >= 0) & (voxel < mask.array.shape[axis])
        flat += np.clip(voxel, 0, mask.array.shape[axis] - 1) * stride
        stride *= mask.array.shape[axis]
    values: NDArray[np.bool_] = mask.array.ravel()[flat] & inside
    return values
