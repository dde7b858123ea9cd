"""Images on another grid: linear interpolation, averaged over a voxel where voxels are larger.

A voxel that is larger than those of the image gets the mean of values at points that are spread
evenly over it, so that nothing between two centres is lost. Beyond the image the value is its
smallest one: air in CT, no uptake in PET.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import scipy

from evaluator.imaging.geometry import affine_of, make_grid, spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: full width at half maximum of a Gaussian over its standard deviation
FWHM_OVER_SIGMA = 2 * np.sqrt(2 * np.log(2))
#: points along one axis of a voxel
MOST_POINTS = 6


def resample_image(image: NDArray[np.float32], source: Grid, grid: Grid) -> NDArray[np.float32]:
    """The values of an image on another grid.

    Args:
        image: (i, j, k) on ``source``.
        source: the grid of the image.
        grid: where values are wanted, in the same world.

    Returns:
        An array of the grid's shape.
    """
    across = np.linalg.inv(affine_of(source)) @ affine_of(grid)
    sizes = np.abs(across[:3, :3]).max(axis=0)
    counts = np.clip(np.ceil(sizes - 1e-3), 1, MOST_POINTS).astype(int)
    along = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    total = np.zeros(grid.shape, dtype=np.float64)
    outside = float(image.min())
    for point in product(*along):
        offset = across[:3, 3] + across[:3, :3] @ np.array(point)
        total += scipy.ndimage.affine_transform(
            image,
            across[:3, :3],
            offset,
            grid.shape,
            output=np.float32,
            order=1,
            mode="grid-constant",
            cval=outside,
        )
    values: NDArray[np.float32] = (total / np.prod(counts)).astype(np.float32)
    return values


def blur_image(image: NDArray[np.float32], grid: Grid, fwhm_mm: float) -> NDArray[np.float32]:
    """An image blurred by a Gaussian of this full width at half maximum, as a scanner's PSF.

    Args:
        image: (i, j, k) on ``grid``.
        grid: the grid of the image.
        fwhm_mm: width in every direction, millimetres.
    """
    sigma = fwhm_mm / FWHM_OVER_SIGMA / np.array(spacing(affine_of(grid)))
    blurred: NDArray[np.float32] = scipy.ndimage.gaussian_filter(
        image, sigma, output=np.float32, mode="nearest"
    )
    return blurred


def respaced_grid(grid: Grid, spacing_mm: float) -> Grid:
    """The grid with the same axes and centre and cubic voxels, as many as the extent needs."""
    affine = affine_of(grid)
    steps = np.array(spacing(affine))
    counts = np.maximum(np.ceil(np.array(grid.shape) * steps / spacing_mm - 1e-3), 1).astype(int)
    scaled = affine.copy()
    scaled[:3, :3] = affine[:3, :3] / steps * spacing_mm
    middle = affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + affine[:3, 3]
    scaled[:3, 3] = middle - scaled[:3, :3] @ ((counts - 1) / 2)
    return make_grid(counts.tolist(), scaled)
