"""References of one image of a session, resampled to the grid of another.

Of a public dataset, references may be on the CT's grid alone. The resampled ones are written beside
the manifest, never beside the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.mask_resampling import resample_mask
from evaluator.imaging.target_masks import crop_targets
from evaluator.volumes import read_labels, write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.datasets.importing.found import FoundReference
    from zoo_sdk.wire import Grid


def resampled_reference(reference: FoundReference, grid: Grid, path: Path) -> Path:
    """Write a reference on another grid; a file that is there is kept.

    Each label is resampled as a mask. Where half a voxel belongs to each of two labels, the smaller
    one has it, as on common grids of protocols.

    Args:
        reference: file and labels.
        grid: of the image that shares the reference.
        path: the new file.

    Raises:
        VolumeError: the reference cannot be read.
        HostError: the file cannot be written.
    """
    if path.is_file():
        return path
    labels, source = read_labels(reference.path)
    values = sorted({value for of_target in reference.labels.values() for value in of_target})
    masks = crop_targets(labels, source, {str(value): (value,) for value in values})
    kind = np.uint8 if max(values, default=0) < 256 else np.uint16
    result = np.zeros(grid.shape, dtype=kind)
    for value in reversed(values):
        mask = resample_mask(masks[str(value)], grid)
        if not mask.empty:
            box = tuple(slice(l, h) for l, h in zip(mask.offset, mask.end, strict=True))
            result[box][mask.array] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, result, grid)
    return path
