"""Write volumes: canonical NIfTI, so that equal content on one grid gives equal bytes, under its name only when whole."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip

from evaluator.errors import BadVolume, HostFault
from evaluator.volumes.reading import read_stored
from zoo_sdk import nifti

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: isal's level: 0 is its fastest, masks are no smaller with more
LEVEL = 1


def write_mask(path: Path, array: NDArray[Any], grid: Grid) -> str:
    """Write a mask, bool or 0 and 1 (i, j, k), as uint8 ``.nii.gz``; returns the file's sha256.

    Raises BadVolume for another shape or other values, HostFault when it cannot be written.
    """
    if array.size and (array.dtype.kind not in "bu" or array.max() > 1):
        raise BadVolume(f"{path.name}: a mask holds 0 and 1, unsigned; this is {array.dtype} up to {array.max()}")
    return write_volume(path, array.astype(np.uint8, copy=False), grid)


def write_volume(path: Path, array: NDArray[Any], grid: Grid) -> str:
    """Write an array (i, j, k) of any number type that NIfTI has as ``.nii.gz``; returns the file's sha256.

    Nothing but shape, affine, number type and voxels goes into the file. Raises BadVolume, HostFault.
    """
    if array.shape != grid.shape:
        raise BadVolume(f"{path.name}: an array of shape {array.shape} does not fit a grid of {grid.shape}")
    letter = array.dtype.char if array.dtype.char not in "lL" else {"l": "q", "L": "Q"}[array.dtype.char]
    if letter not in nifti.CODES or max(grid.shape) > 32767:
        raise BadVolume(f"{path.name}: NIfTI-1 cannot hold {array.dtype} voxels of shape {grid.shape}")
    voxels = np.asarray(array, dtype=array.dtype.newbyteorder("<")).tobytes(order="F")
    packed = igzip.compress(nifti.header(grid.shape, grid.affine, letter) + voxels, LEVEL, mtime=0)
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HostFault(f"could not write {path}: {error.strerror}; free some space and run again") from error
    return hashlib.sha256(packed).hexdigest()


def stage_image(source: Path, destination: Path) -> Grid:
    """Copy an image of any format to a NIfTI file that says nothing but voxels and geometry; returns its grid.

    The values keep their number type unless a scale is to be applied or NIfTI lacks it; then they become float32.
    The grid is the one that a reader of the copy sees. Raises BadVolume, HostFault.
    """
    stored = read_stored(source)
    array = stored.array
    if not stored.neutral:
        array = (array.astype(np.float64) * stored.slope + stored.intercept).astype(np.float32)
    elif array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype.char not in "BbHhIiLlQqfd":
        array = array.astype(np.float32)
    write_volume(destination, array, stored.grid)
    return stored.grid
