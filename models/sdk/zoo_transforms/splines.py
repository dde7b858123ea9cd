"""An image at another spacing by a cubic B-spline, from the same first voxel on.

``respaced_by_spline`` has SimpleITK's borders (MOOSE, LION), ``respaced_with_edges`` continues the
outermost values (VIBESegmentator). Needs numpy and scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence, Tuple

import numpy as np
from scipy import ndimage

from zoo_sdk.volume import Volume
from zoo_transforms.intensity import Undefined

if TYPE_CHECKING:
    from zoo_transforms.resampling import VoxelGrid

#: a place that is this close to a border counts as on it (voxels)
SAME_VOXEL = 1e-6


def respaced_by_spline(values: Any, grid: VoxelGrid, millimetres: Sequence[float]) -> Volume:
    """The image at another spacing from the same first voxel, by a cubic B-spline.

    It has SimpleITK's values. A voxel half a voxel from the last one or farther out
    is zero.

    Args:
        values: the image, three axes.
        grid: where its voxels lie.
        millimetres: the spacing along the axes of ``values``.

    Returns:
        float32; each axis has as many voxels as the rounded ratio of the spacings says, at least 1.

    Raises:
        Undefined: a value is not finite; the spline would make every voxel NaN.
    """
    respaced, ratio = _spline(values, grid, millimetres, "mirror")
    for axis, (size, r) in enumerate(zip(values.shape, ratio)):
        beyond = np.arange(respaced.array.shape[axis]) * r >= size - 0.5 - SAME_VOXEL
        respaced.array[(slice(None),) * axis + (beyond,)] = 0
    return respaced


def respaced_with_edges(values: Any, grid: VoxelGrid, millimetres: Sequence[float]) -> Volume:
    """As ``respaced_by_spline``, but the outermost values continue beyond the image's borders.

    It has the values of ``scipy.ndimage.affine_transform`` with the mode ``nearest``.
    """
    return _spline(values, grid, millimetres, "nearest")[0]


def _spline(
    values: Any, grid: VoxelGrid, millimetres: Sequence[float], mode: str
) -> Tuple[Volume, Any]:
    """The image by a spline with one of scipy's modes at borders, and the ratio of the spacings."""
    if not np.isfinite(values).all():
        raise Undefined("the image has voxels that are not finite, which a spline cannot resample")
    ratio = np.array(millimetres, dtype=np.float64) / np.array(grid.spacing)
    a, b, c = (max(1, round(size / r)) for size, r in zip(values.shape, ratio))
    shape: Tuple[int, int, int] = (a, b, c)
    respaced = ndimage.affine_transform(
        values, ratio, output_shape=shape, order=3, mode=mode, output=np.float32
    )
    step = np.diag([*ratio, 1.0])
    return Volume(respaced, np.asarray(grid.affine) @ step), ratio
