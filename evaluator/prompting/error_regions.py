"""The errors of a mask: false negatives, false positives, and the largest component of either.

All work is done on crops about the error, never on the volume. Voxels that touch at a face, an edge
or a corner are connected (26-connectivity): a thin shell of errors about an organ is one error, not
a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluator.imaging.connected_components import largest_component
from evaluator.imaging.grid_masks import GridMask, crop_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRegion:
    """One connected error."""

    mask: GridMask
    #: True: false-negative voxels, which need a foreground click; False: false-positive voxels
    false_negative: bool


def dice(reference: GridMask, prediction: GridMask) -> float:
    """2 |A and B| / (|A| + |B|) of two masks on one grid; 1 if both are empty."""
    shared = np.count_nonzero(reference.array & prediction.crop(reference.offset, reference.end))
    total = reference.voxel_count + prediction.voxel_count
    return 2 * int(shared) / total if total else 1.0


def false_negatives(reference: GridMask, prediction: GridMask) -> GridMask:
    """The voxels that are in the reference and not in the prediction."""
    return _without(reference, prediction)


def false_positives(reference: GridMask, prediction: GridMask) -> GridMask:
    """The voxels that are in the prediction and not in the reference."""
    return _without(prediction, reference)


def largest_error(reference: GridMask, prediction: GridMask) -> ErrorRegion | None:
    """The connected error of most voxels.

    False negatives and false positives are never one component. Of equally large components a
    false negative comes before a false positive, then the one whose first voxel comes first in C
    order.

    Returns:
        None if the masks are equal.
    """
    regions: list[ErrorRegion] = []
    for is_negative, find in ((True, false_negatives), (False, false_positives)):
        errors = find(reference, prediction)
        if not errors.empty:
            regions.append(ErrorRegion(mask=largest_component(errors), false_negative=is_negative))
    # of equal counts max returns the first
    return max(regions, key=lambda region: region.mask.voxel_count, default=None)


def _without(mask: GridMask, removed: GridMask) -> GridMask:
    return crop_mask(mask.array & ~removed.crop(mask.offset, mask.end), mask.grid, mask.offset)
