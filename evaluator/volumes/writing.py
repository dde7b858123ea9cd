"""Write volumes as canonical NIfTI: equal content on one grid gives equal bytes.

A file gets its name only when it is complete. Nothing is fsynced: files are verified by their hash,
and written again where it differs.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip

from evaluator.errors import VolumeError, write_fault
from evaluator.imaging.grid_masks import GridMask, crop_mask
from evaluator.imaging.orthogonal_grids import readable_grid
from evaluator.volumes.gzip_blocks import pack_mask, store
from evaluator.volumes.reading import read_stored
from zoo_sdk import nifti

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: isal's level: 0 is its fastest, masks are no smaller with more
LEVEL = 1


def write_mask(
    path: Path, mask: NDArray[Any] | GridMask, grid: Grid, *, quick: bool = False
) -> str:
    """Write a mask as uint8 ``.nii.gz``.

    The cost depends on the crop that holds the mask, not on the grid.

    Args:
        path: the file.
        mask: a GridMask, or an array (i, j, k) of bool or of 0 and 1, unsigned.
        grid: the grid of the mask.
        quick: write a file that is a few times larger and read a few times faster.

    Returns:
        The file's sha256.

    Raises:
        VolumeError: the array has another shape than the grid, or other values.
        HostError: the file cannot be written.
    """
    if not isinstance(mask, GridMask):
        if mask.shape != grid.shape:
            raise VolumeError(
                f"{path.name}: an array of shape {mask.shape} does not fit a grid of {grid.shape}"
            )
        if mask.size and (mask.dtype.kind not in "bu" or mask.max() > 1):
            raise VolumeError(
                f"{path.name}: a mask holds 0 and 1, unsigned; "
                f"this is {mask.dtype} up to {mask.max()}"
            )
    packed = pack_mask(mask if isinstance(mask, GridMask) else crop_mask(mask, grid), quick=quick)
    _write(path, [packed])
    return hashlib.sha256(packed).hexdigest()


def write_volume(path: Path, array: NDArray[Any], grid: Grid) -> str:
    """Write an array (i, j, k) of any number type of NIfTI as ``.nii.gz``.

    Only shape, affine, number type and voxels go into the file.

    Returns:
        The file's sha256.

    Raises:
        VolumeError: NIfTI cannot hold the array.
        HostError: the file cannot be written.
    """
    head, voxels = _content(path, array, grid)
    packed = igzip.compress(head + voxels.tobytes(), LEVEL, mtime=0)
    _write(path, [packed])
    return hashlib.sha256(packed).hexdigest()


def stage_image(source: Path, destination: Path) -> Grid:
    """Copy an image of any format to a NIfTI file that holds only voxels and geometry.

    The values keep their number type unless a scale must be applied or NIfTI lacks the type; then
    they become float32. The copy is not compressed, because a model reads it again in each round.

    Index axes whose directions are orthogonal but for rounding become orthogonal, because programs
    built on ITK read no others (``imaging.orthogonal_grids.readable_grid``).

    Returns:
        The grid that a reader of the copy gets.

    Raises:
        VolumeError: the image cannot be read, or holds no finite value.
        HostError: the copy cannot be written.
    """
    stored = read_stored(source)
    array = stored.array
    if array.dtype.kind == "f" and not (
        np.isfinite(array[::8, ::8, ::8]).any() or np.isfinite(array).any()
    ):
        raise VolumeError(f"{source}: the image holds no finite value")
    if not stored.neutral:
        array = (array.astype(np.float64) * stored.slope + stored.intercept).astype(np.float32)
    elif array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype.char not in "BbHhIiLlQqfd":
        array = array.astype(np.float32)
    grid = readable_grid(stored.grid)
    _write(destination, store(*_content(destination, array, grid)))
    return grid


def _content(path: Path, array: NDArray[Any], grid: Grid) -> tuple[bytes, memoryview]:
    """The header and the voxels of a file, little-endian, first index fastest."""
    if array.shape != grid.shape:
        raise VolumeError(
            f"{path.name}: an array of shape {array.shape} does not fit a grid of {grid.shape}"
        )
    letter = {"l": "q", "L": "Q"}.get(array.dtype.char, array.dtype.char)
    if letter not in nifti.CODES or max(grid.shape) > 32767:
        raise VolumeError(
            f"{path.name}: NIfTI-1 cannot hold {array.dtype} voxels of shape {grid.shape}"
        )
    voxels = np.asfortranarray(array, dtype=array.dtype.newbyteorder("<"))
    flat = voxels.reshape(-1, order="F").view(np.uint8)
    return nifti.header(grid.shape, grid.affine, letter), flat.data


def _write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb", buffering=2**20) as file:
            file.writelines(parts)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise write_fault(path, error) from error
