"""How deep a voxel lies in a mask, on any grid; in the world if its axes are sheared.

See ``evaluator.imaging.distance_transform`` for what depth is. That transform goes along the axes,
which is exact if they are at right angles. Else (a tilted gantry) the nearest voxel outside the
mask is searched in the world, by a k-d tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.distance_transform import squared_depth, squared_distance_to
from evaluator.imaging.geometry import sheared_axes, spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR_MM = 1e6
"""Larger than any distance within a layer, so neighbours in other layers do not count."""


def squared_depth_on(
    inside: NDArray[np.bool_], affine: NDArray[np.float64], *, within: int | None = None
) -> NDArray[np.float64]:
    """Squared depth of every voxel.

    Args:
        inside: mask (i, j, k).
        affine: (4, 4) of its grid.
        within: depth is measured within the layers of this index axis; None: in space.

    Returns:
        mm², of the mask's shape; 0 outside the mask.
    """
    axes = sheared_axes(affine)
    if axes is None:
        step = list(spacing(affine))
        if within is not None:
            step[within] = FAR_MM
        return squared_depth(inside, (step[0], step[1], step[2]))
    if within is not None:
        axes[:, within] = FAR_MM * _normal(axes, within)
    return _in_world(inside, axes)


def squared_distance_on(
    index: tuple[int, int, int], shape: tuple[int, int, int], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance in mm² of every voxel of a crop to one of its voxels.

    Args:
        index: of the voxel, (i, j, k) of the crop.
        shape: of the crop.
        affine: (4, 4) of its grid.
    """
    axes = sheared_axes(affine)
    if axes is None:
        return squared_distance_to(index, shape, spacing(affine))
    steps = np.indices(shape).reshape(3, -1).T - np.array(index)
    squared: NDArray[np.float64] = np.square(steps @ axes.T).sum(axis=1).reshape(shape)
    return squared


def _in_world(inside: NDArray[np.bool_], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import binary_dilation
    from scipy.spatial import cKDTree

    padded = np.pad(inside, 1)
    # the nearest voxel outside touches the mask, at least by a corner
    shell = binary_dilation(padded, np.ones((3, 3, 3), bool)) & ~padded
    tree = cKDTree((np.argwhere(shell) - 1) @ axes.T)
    voxels = np.argwhere(inside)
    squared = np.zeros(inside.shape)
    if len(voxels):
        distances, _ = tree.query(voxels @ axes.T)
        squared[tuple(voxels.T)] = distances**2
    return squared


def _normal(axes: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """The unit normal of the layers of one index axis."""
    first, second = (axes[:, axis] for axis in range(3) if axis != index)
    normal: NDArray[np.float64] = np.cross(first, second)
    return np.asarray(normal / np.linalg.norm(normal))
