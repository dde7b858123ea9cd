"""A volume looked at in patches: the box that is worth it, and how much each voxel of a patch says. Needs numpy and scipy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Tuple

import numpy as np

from zoo_transforms.intensity import Undefined

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = Tuple[int, int, int]


def box_of(where: Any) -> Tuple[slice, slice, slice]:
    """The smallest box that holds all voxels ``where``, as MONAI's CropForeground and nnU-Net's crop find it. Raises Undefined for none."""
    found: List[slice] = []
    for axis in range(3):
        line = np.flatnonzero(where.any(axis=tuple(n for n in range(3) if n != axis)))
        if not len(line):
            raise Undefined("the image has no voxel that this model would look at")
        found.append(slice(int(line[0]), int(line[-1]) + 1))
    return (found[0], found[1], found[2])


def gaussian(shape: Shape) -> NDArray[np.float32]:
    """The weight of each voxel of a patch: nnU-Net's gaussian (sigma an eighth, peak 10, rounded to 16 bits, nowhere zero)."""
    from scipy.ndimage import gaussian_filter1d

    lines = []
    for size in shape:
        line = np.zeros(size)
        line[size // 2] = 1
        line = gaussian_filter1d(line, size / 8, mode="constant")
        lines.append(line / line.max())
    weights = (10 * lines[0][:, None, None] * lines[1][:, None] * lines[2]).astype(np.float16).astype(np.float32)
    return np.asarray(np.maximum(weights, weights[weights > 0].min()))
