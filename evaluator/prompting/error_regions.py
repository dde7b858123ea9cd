"""What is wrong with a mask: the voxels missed, the voxels spilled, and the largest connected piece of either.

All work is done on crops about the error, never on the volume. Voxels that touch at a face, an edge or a corner are
connected (26-connectivity): a thin shell of errors about an organ is one error, not a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluator.imaging.connected_components import largest_piece
from evaluator.imaging.grid_masks import GridMask, crop_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPiece:
    """One connected error: its voxels, and whether they were missed (asks for foreground) or spilled (background)."""

    region: GridMask
    missed: bool


def dice(reference: GridMask, prediction: GridMask) -> float:
    """2 |A and B| / (|A| + |B|) of two masks on one grid; 1 if both are empty."""
    both = np.count_nonzero(reference.array & prediction.crop(reference.offset, reference.end))
    total = reference.voxel_count + prediction.voxel_count
    return 2 * int(both) / total if total else 1.0


def missed(reference: GridMask, prediction: GridMask) -> GridMask:
    """The voxels that are in the reference and not in the prediction."""
    return _without(reference, prediction)


def spilled(reference: GridMask, prediction: GridMask) -> GridMask:
    """The voxels that are in the prediction and not in the reference."""
    return _without(prediction, reference)


def largest_error(reference: GridMask, prediction: GridMask) -> ErrorPiece | None:
    """The connected error of most voxels; None if the masks are equal.

    Missed and spilled voxels are never one piece. Of equally large ones a missed one goes before a spilled one, then
    the one whose first voxel in C order comes first.
    """
    pieces = [
        (largest_piece(region), is_missed)
        for region, is_missed in (
            (missed(reference, prediction), True),
            (spilled(reference, prediction), False),
        )
        if not region.empty
    ]
    if not pieces:
        return None
    region, is_missed = max(pieces, key=lambda piece: piece[0].voxel_count)
    return ErrorPiece(region=region, missed=is_missed)


def _without(mask: GridMask, other: GridMask) -> GridMask:
    return crop_mask(mask.array & ~other.crop(mask.offset, mask.end), mask.grid, mask.offset)
