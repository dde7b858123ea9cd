"""References of a scan, loaded as masks on one grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import difference
from evaluator.volumes import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.imaging.target_masks import crop_targets
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Scan
    from zoo_sdk.wire import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReferences:
    """A scan's references in memory: each target's mask, all on one grid."""

    grid: Grid
    masks: Mapping[str, GridMask]
    scan: Scan
    #: the scan's values, where a metric needs them and they have a meaning
    image: NDArray[np.float32] | None = None


def load_references(scan: Scan, *, with_image: bool = False) -> LoadedReferences:
    """Read a scan's references, and with ``with_image`` the values of a PET scan in SUV.

    Raises VolumeError when one cannot be read or they are on different grids.
    """
    grid: Grid | None = None
    masks: dict[str, GridMask] = {}
    for reference in scan.references:
        labels, own = read_labels(reference.path)
        apart = difference(grid, own) if grid else None
        if apart:
            raise VolumeError(
                f"{reference.path.name}: the references of one image lie on different grids: {apart}"
            )
        grid = own
        masks.update(crop_targets(labels, own, reference.labels))
    if grid is None:
        raise VolumeError(f"{scan.image.name} has no reference")
    image = read_uptake(scan.image, grid) if with_image and scan.unit == "SUVbw" else None
    return LoadedReferences(grid=grid, masks=masks, scan=scan, image=image)


def read_uptake(path: Path, grid: Grid) -> NDArray[np.float32]:
    """A PET image's values on the grid of its references; raises VolumeError for another grid, and for no finite numbers."""
    image, own = read_image(path)
    if apart := difference(grid, own):
        raise VolumeError(f"{path}: image and reference lie on different grids: {apart}")
    if not np.isfinite(image).all():
        raise VolumeError(
            f"{path}: the image has voxels that are no finite numbers, so that no uptake can be measured"
        )
    return image
