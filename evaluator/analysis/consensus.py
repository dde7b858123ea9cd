"""The consensus of several models' masks, by majority or by STAPLE.

STAPLE: Warfield, Zou and Wells, IEEE Trans Med Imaging 2004;23:903-921.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluator.imaging.geometry import affine_of, difference
from evaluator.imaging.grid_masks import common_region

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask

    Consensus = Literal["majority", "staple"]
    Row = dict[str, Any]


FEWEST_MODELS = 3
"""A consensus and outliers need so many masks."""


def compare_with_consensus(masks: Mapping[str, GridMask | None], rule: Consensus) -> list[Row]:
    """Each model's mask against the consensus; no row for fewer than three masks on one grid."""
    present = {label: mask for label, mask in masks.items() if mask is not None}
    grids = [mask.grid for mask in present.values()]
    if len(present) < FEWEST_MODELS or any(difference(grids[0], grid) for grid in grids[1:]):
        return []
    low, high = common_region(*present.values())
    arrays = {label: mask.crop(low, high) for label, mask in present.items()}
    joint = consensus_of(list(arrays.values()), rule)
    voxel_ml = abs(float(np.linalg.det(affine_of(grids[0])[:3, :3]))) / 1000
    rows = []
    for label, array in arrays.items():
        voxels = int(array.sum()) + int(joint.sum())
        dice = 2 * int((array & joint).sum()) / voxels if voxels else None
        rows.append(
            {
                "model": label,
                "masks": len(arrays),
                "status": "ok" if voxels else "both empty",
                "dice": dice,
                "consensus_ml": int(joint.sum()) * voxel_ml,
            }
        )
    return rows


def consensus_of(masks: list[NDArray[np.bool_]], rule: Consensus) -> NDArray[np.bool_]:
    """The consensus of masks of one shape, (i, j, k).

    Args:
        masks: at least one; STAPLE estimates its prior from these arrays, so they should be the
            smallest box that holds all masks.
        rule: as in ``agree``.
    """
    votes = np.sum(masks, axis=0)
    # STAPLE has no estimate where all masks are equal
    if rule == "majority" or not votes.size or bool(((votes == 0) | (votes == len(masks))).all()):
        return np.asarray(2 * votes > len(masks))
    import SimpleITK

    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    probability = SimpleITK.GetArrayFromImage(SimpleITK.STAPLE(images, 1.0))
    return np.asarray(probability > 0.5)
