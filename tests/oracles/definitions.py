"""The definitions of the peers, written in a simple way: surfaces of voxels, each counted as one.

A voxel is on the surface if one of its six neighbours is outside the mask; voxels beyond the array
are outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def by_voxels(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Sequence[float],
    tolerance: float,
) -> dict[str, Any]:
    """Every variant of the distances between surface voxels; both masks have voxels."""
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (reference, prediction)]
    away = [ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders]
    lists = [away[1][borders[0]], away[0][borders[1]]]
    pooled = np.concatenate(lists)
    inside = [
        ndimage.distance_transform_edt(~mask, sampling=spacing) for mask in (reference, prediction)
    ]
    return {
        "hd": pooled.max(),
        "hd95_of_directed": max(np.percentile(each, 95) for each in lists),
        "hd95_pooled": np.percentile(pooled, 95),
        "masd": np.mean([each.mean() for each in lists]),
        "assd": pooled.mean(),
        "nsd": (pooled <= tolerance).mean(),
        "nsd_of_directed": np.mean([(each <= tolerance).mean() for each in lists]),
        "hd_of_masks": max(inside[1][reference].max(), inside[0][prediction].max()),
    }
