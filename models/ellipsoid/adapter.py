"""The ellipsoid inscribed in the box: it sees no image, so every model must score higher."""

from typing import Any

import numpy as np

from zoo_sdk import Adapter as Base
from zoo_sdk import Box, BoxMm, Crop, Request, Target, Unsupported, each_target

#: a voxel's centre this far outside counts as inside, relative to the ellipsoid's size
SLACK = 1e-6


class Adapter(Base):
    """Needs no image and no weights."""

    def predict(self, request: Request) -> Any:
        """The ellipsoid that touches the six faces of the box, the exact one if there is one."""

        def inscribe(target: Target) -> Any:
            if target.box_mm is not None:
                return inscribe_exactly(target.box_mm, request)
            if target.box is None:
                return Unsupported("needs a box")
            return inscribe_in_voxels(target.box)

        return each_target(request, inscribe)


def inscribe_in_voxels(box: Box) -> Crop:
    """The ellipsoid along the grid's axes in a box of voxels."""
    low, high = np.array(box.low), np.array(box.high)
    middle, half = (low + high - 1) / 2, (high - low) / 2
    i, j, k = np.ogrid[tuple(slice(l, h) for l, h in zip(low, high))]
    r = (
        ((i - middle[0]) / half[0]) ** 2
        + ((j - middle[1]) / half[1]) ** 2
        + ((k - middle[2]) / half[2]) ** 2
    )
    return Crop(r <= 1, box.low)


def inscribe_exactly(box: BoxMm, request: Request) -> Crop:
    """The ellipsoid in a box in millimetres: voxels whose centres lie in it, at least one."""
    affine, shape = np.array(request.grid.affine), np.array(request.grid.shape)
    centre, axes = np.array(box.centre), np.array(box.half_axes)
    to_index = np.linalg.inv(affine[:3, :3])
    middle = to_index @ (centre - affine[:3, 3])
    reach = np.abs(to_index) @ np.abs(axes).sum(axis=0)
    low = np.clip(np.floor(middle - reach), 0, shape - 1).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, low + 1, shape).astype(int)
    index = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    relative = (places - centre) @ np.linalg.inv(axes)
    inside = (relative**2).sum(axis=-1) <= 1 + SLACK
    if not inside.any():
        nearest = np.clip(np.floor(middle + 0.5).astype(int), low, high - 1) - low
        inside[tuple(nearest)] = True
    return Crop(inside, tuple(low.tolist()))
