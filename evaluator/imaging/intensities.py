"""Intensities from 0 to 255, as images of the CVPR 2025 challenge expect them: recipe 1.

CT is clipped to the soft-tissue window (level 40 HU, width 400 HU). MR and PET are clipped to the
0.5 and 99.5 percentiles of their voxels other than 0, and voxels of 0 stay 0. What remains is
scaled linearly to 0..255 and truncated to whole numbers. Source: the preparation of the challenge's
data, as its organisers published it with MedSAM (bowang-lab/MedSAM, pre_CT_MR.py). A change of the
recipe is a new recipe, and contracts that use it get another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.types import Modality

CT_LEVEL_HU, CT_WIDTH_HU = 40.0, 400.0
PERCENTILES = (0.5, 99.5)


def scale_to_uint8(image: NDArray[Any], modality: Modality) -> NDArray[np.uint8]:
    """The image with intensities 0 to 255.

    Args:
        image: voxels (any shape) in HU, SUV or arbitrary units. Voxels that are not finite count
            as 0.
        modality: decides the recipe.

    Returns:
        An array of the same shape. An image of one value only becomes 0 everywhere.
    """
    voxels = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    filled = voxels != 0
    if modality == "CT":
        low, high = CT_LEVEL_HU - CT_WIDTH_HU / 2, CT_LEVEL_HU + CT_WIDTH_HU / 2
    elif filled.any():
        low, high = (float(value) for value in np.percentile(voxels[filled], PERCENTILES))
    else:
        low, high = 0.0, 0.0
    clipped = np.clip(voxels, low, high)
    first, last = float(clipped.min()), float(clipped.max())
    if last <= first:
        return np.zeros(image.shape, np.uint8)
    scaled = (clipped - first) / (last - first) * 255.0
    if modality != "CT":
        scaled[~filled] = 0
    return scaled.astype(np.uint8)
