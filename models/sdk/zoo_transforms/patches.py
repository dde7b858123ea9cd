"""A volume seen in patches: the foreground box, and the weight of each voxel of a patch.

Needs numpy; ``gaussian`` needs scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Tuple

import numpy as np

from zoo_transforms.intensity import Undefined

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = Tuple[int, int, int]


def box_of(where: Any) -> Tuple[slice, slice, slice]:
    """The smallest box that holds all voxels ``where``. Raises Undefined if there are none.

    It is the box of MONAI's CropForeground and of nnU-Net's crop.
    """
    box: List[slice] = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        line = np.flatnonzero(where.any(axis=others))
        if not len(line):
            raise Undefined("the image has no foreground voxel for this model")
        box.append(slice(int(line[0]), int(line[-1]) + 1))
    return (box[0], box[1], box[2])


def gaussian(shape: Shape) -> NDArray[np.float32]:
    """The weight of each voxel of a patch: nnU-Net's gaussian.

    Its sigma is an eighth of the patch, its peak 10; it is rounded to 16 bits and nowhere zero.
    """
    from scipy.ndimage import gaussian_filter1d

    lines = []
    for size in shape:
        line = np.zeros(size)
        line[size // 2] = 1
        line = gaussian_filter1d(line, size / 8, mode="constant")
        lines.append(line / line.max())
    product = 10 * lines[0][:, None, None] * lines[1][:, None] * lines[2]
    weights = product.astype(np.float16).astype(np.float32)
    return np.asarray(np.maximum(weights, weights[weights > 0].min()))
