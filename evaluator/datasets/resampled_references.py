"""References on the grid of another image, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.errors import write_fault
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.imaging.target_masks import crop_targets
from evaluator.volumes import read_labels, write_volume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zoo_sdk.wire import Grid


def write_resampled(
    source: Path, labels: Mapping[str, tuple[int, ...]], grid: Grid, path: Path
) -> None:
    """Write a reference on another grid.

    Each label is resampled as a mask. Where half a voxel belongs to each of two labels, the smaller
    one has it.

    Args:
        source: the reference.
        labels: target -> its label values; others are left out.
        grid: of the new file.
        path: the new file.

    Raises:
        VolumeError: the reference cannot be read.
        HostError: the file cannot be written.
    """
    volume, source_grid = read_labels(source)
    values = sorted({value for of_target in labels.values() for value in of_target})
    masks = crop_targets(volume, source_grid, {str(value): (value,) for value in values})
    result = np.zeros(grid.shape, dtype=np.min_scalar_type(max(values, default=0)))
    for value in reversed(values):
        mask = resample_mask(masks[str(value)], grid)
        if not mask.empty:
            box = tuple(slice(l, h) for l, h in zip(mask.offset, mask.end, strict=True))
            result[box][mask.array] = value
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_fault(path, error) from error
    write_volume(path, result, grid)
