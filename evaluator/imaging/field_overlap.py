"""The field that two images have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, to_index, to_world, voxel_ml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: places along each axis at which a field is sampled
SAMPLES = 24


def shared_field(first: Grid, second: Grid) -> float:
    """The part of the smaller field of view that lies in the other one, 0 to 1.

    The field is sampled at 24 places along each axis, so the part is exact to some per cent.
    """
    smaller, larger = sorted((first, second), key=_volume_ml)
    axes = [(np.arange(SAMPLES) + 0.5) / SAMPLES * size - 0.5 for size in smaller.shape]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return float(_inside(larger, to_world(affine_of(smaller), index)).mean())


def _inside(grid: Grid, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    index = to_index(affine_of(grid), places)
    within = (index > -0.5) & (index < np.array(grid.shape) - 0.5)
    return np.asarray(within.all(axis=1), dtype=np.bool_)


def _volume_ml(grid: Grid) -> float:
    return float(np.prod(grid.shape)) * voxel_ml(affine_of(grid))
