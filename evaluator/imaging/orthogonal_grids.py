"""Grids whose index axes are not orthogonal, by rounding or by shear.

NIfTI's affine may have any three axes. Programs built on ITK read only orthogonal ones. Headers
that several programs have written are orthogonal but for rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, corners_mm, make_grid, spacing

if TYPE_CHECKING:
    from evaluator.imaging.grid_masks import GridMask
    from zoo_sdk.wire import Grid

#: index axes whose cosine is not larger are orthogonal but for rounding in 32 bits
ORTHOGONAL = 1e-5
#: index axes whose cosine is not larger are orthogonal but for rounding by several programs; above,
#: the grid is sheared (a tilted gantry)
ROUNDING = 5e-3


def skew(grid: Grid) -> float:
    """The largest cosine between two index axes: 0 if they are orthogonal."""
    linear = affine_of(grid)[:3, :3]
    directions = linear / np.linalg.norm(linear, axis=0)
    cosines = directions.T @ directions
    return float(np.abs(cosines - np.eye(3)).max())


def orthonormal(grid: Grid) -> Grid:
    """The grid with the nearest orthogonal axes, of equal voxel sizes, about the same centre.

    Programs built on ITK read no other grids. The nearest rotation is the orthogonal factor of the
    polar decomposition (Higham, SIAM J Sci Stat Comput 1986;7:1160-1174).
    """
    affine = affine_of(grid)
    steps = np.array(spacing(affine))
    left, _, right = np.linalg.svd(affine[:3, :3] / steps)
    centre = (np.array(grid.shape) - 1) / 2
    middle = affine[:3, :3] @ centre + affine[:3, 3]
    new = np.eye(4)
    new[:3, :3] = (left @ right) * steps
    new[:3, 3] = middle - new[:3, :3] @ centre
    return make_grid(grid.shape, new)


def readable_grid(grid: Grid) -> Grid:
    """The grid as a model gets it: with orthogonal axes where their skew is only rounding."""
    return orthonormal(grid) if ORTHOGONAL < skew(grid) <= ROUNDING else grid


def placed_on(mask: GridMask, grid: Grid) -> GridMask:
    """The same voxels on another grid of the same shape."""
    return mask if mask.grid == grid else replace(mask, grid=grid)


def fields_overlap(a: Grid, b: Grid) -> bool:
    """True if the bounding boxes of two grids, along the world's axes, overlap."""
    a_corners, b_corners = corners_mm(a), corners_mm(b)
    low = np.maximum(a_corners.min(axis=0), b_corners.min(axis=0))
    high = np.minimum(a_corners.max(axis=0), b_corners.max(axis=0))
    return bool((low <= high).all())
