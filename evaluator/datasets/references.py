"""References of a scan, loaded as masks on one grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import difference
from evaluator.imaging.target_masks import crop_targets
from evaluator.volumes import read_image, read_labels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Scan
    from zoo_sdk.wire import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReferences:
    """A scan's references in memory: the mask of each target, all on one grid."""

    grid: Grid
    masks: Mapping[str, GridMask]
    scan: Scan
    #: the scan's values in SUV, (i, j, k), if metrics need them; only for PET
    image: NDArray[np.float32] | None = None


def load_references(scan: Scan, *, with_image: bool = False) -> LoadedReferences:
    """Read a scan's references.

    Args:
        scan: the scan.
        with_image: also read the image if it is a PET scan in SUV.

    Raises:
        VolumeError: a file cannot be read, or the files are on different grids.
    """
    grid: Grid | None = None
    masks: dict[str, GridMask] = {}
    for reference in scan.references:
        labels, reference_grid = read_labels(reference.path)
        mismatch = difference(grid, reference_grid) if grid else None
        if mismatch:
            raise VolumeError(
                f"{reference.path.name}: the references of one image are on different grids: "
                f"{mismatch}"
            )
        grid = reference_grid
        masks.update(crop_targets(labels, grid, reference.labels))
    if grid is None:
        raise VolumeError(f"{scan.image.name} has no reference")
    image = read_uptake(scan.image, grid) if with_image and scan.unit == "SUVbw" else None
    return LoadedReferences(grid=grid, masks=masks, scan=scan, image=image)


def read_uptake(path: Path, grid: Grid) -> NDArray[np.float32]:
    """The values of a PET image, which must be on the grid of its references.

    Returns:
        SUV, (i, j, k).

    Raises:
        VolumeError: the grids differ, or values are NaN or infinite.
    """
    image, image_grid = read_image(path)
    if mismatch := difference(grid, image_grid):
        raise VolumeError(f"{path}: image and reference are on different grids: {mismatch}")
    if not np.isfinite(image).all():
        raise VolumeError(
            f"{path}: the image contains NaN or infinite values, so uptake cannot be measured"
        )
    return image
