"""Write volumes: canonical NIfTI, so that equal content on one grid gives equal bytes, under its name only when whole.

Nothing here is fsynced: what is written is found again by its hash, and made again where that differs.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip, isal_zlib

from evaluator.errors import BadVolume, HostFault
from evaluator.masks import GridMask, crop_mask
from evaluator.volumes.reading import read_stored
from zoo_sdk import nifti

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: isal's level: 0 is its fastest, masks are no smaller with more
LEVEL = 1
GZIP = 31
#: zeros that are packed in one go
ZEROS = memoryview(bytes(2**18))


def write_mask(path: Path, mask: NDArray[Any] | GridMask, grid: Grid) -> str:
    """Write a mask, a crop or an array (bool or 0 and 1, i, j, k), as uint8 ``.nii.gz``; returns the file's sha256.

    A crop costs what it holds, not what the grid would. Raises BadVolume for another shape or other values, HostFault
    when it cannot be written.
    """
    if isinstance(mask, GridMask):
        return _write(path, _pack(nifti.header(grid.shape, grid.affine, "B"), mask))
    if mask.shape != grid.shape:
        raise BadVolume(f"{path.name}: an array of shape {mask.shape} does not fit a grid of {grid.shape}")
    if mask.size and (mask.dtype.kind not in "bu" or mask.max() > 1):
        raise BadVolume(f"{path.name}: a mask holds 0 and 1, unsigned; this is {mask.dtype} up to {mask.max()}")
    return write_mask(path, crop_mask(mask, grid), grid)


def write_volume(path: Path, array: NDArray[Any], grid: Grid, *, packed: bool = True) -> str:
    """Write an array (i, j, k) of any number type that NIfTI has as ``.nii.gz``; returns the file's sha256.

    Nothing but shape, affine, number type and voxels goes into the file. Not ``packed``, the voxels are stored in the
    gzip file as they are: larger, and read much faster. Raises BadVolume, HostFault.
    """
    if array.shape != grid.shape:
        raise BadVolume(f"{path.name}: an array of shape {array.shape} does not fit a grid of {grid.shape}")
    letter = array.dtype.char if array.dtype.char not in "lL" else {"l": "q", "L": "Q"}[array.dtype.char]
    if letter not in nifti.CODES or max(grid.shape) > 32767:
        raise BadVolume(f"{path.name}: NIfTI-1 cannot hold {array.dtype} voxels of shape {grid.shape}")
    voxels = np.asarray(array, dtype=array.dtype.newbyteorder("<")).tobytes(order="F")
    head = nifti.header(grid.shape, grid.affine, letter)
    return _write(
        path, igzip.compress(head + voxels, LEVEL, mtime=0) if packed else zlib.compress(head + voxels, 0, GZIP)
    )


def stage_image(source: Path, destination: Path) -> Grid:
    """Copy an image of any format to a NIfTI file that says nothing but voxels and geometry; returns its grid.

    The values keep their number type unless a scale is to be applied or NIfTI lacks it; then they become float32. The
    copy is not packed: a model reads it again in each round. The grid is the one that a reader of the copy sees. Raises
    BadVolume, HostFault.
    """
    stored = read_stored(source)
    array = stored.array
    if not stored.neutral:
        array = (array.astype(np.float64) * stored.slope + stored.intercept).astype(np.float32)
    elif array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype.char not in "BbHhIiLlQqfd":
        array = array.astype(np.float32)
    write_volume(destination, array, stored.grid, packed=False)
    return stored.grid


def _pack(head: bytes, mask: GridMask) -> bytes:
    """The gzip file of a mask: zeros, the slices that hold it, zeros; no array of the grid's size is made."""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP)
    ni, nj, nk = mask.grid.shape
    (i, j, k), (di, dj, dk) = mask.corner, mask.inside.shape
    slices = np.zeros((ni, nj, dk), dtype=np.uint8, order="F")
    slices[i : i + di, j : j + dj] = mask.inside
    parts = [packer.compress(head)]
    for part in (_zeros(k * ni * nj), [slices.reshape(-1, order="F").data], _zeros((nk - k - dk) * ni * nj)):
        parts += [packer.compress(piece) for piece in part]
    return b"".join([*parts, packer.flush()])


def _zeros(count: int) -> Iterator[memoryview]:
    for at in range(0, count, len(ZEROS)):
        yield ZEROS[: count - at]


def _write(path: Path, packed: bytes) -> str:
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        temporary.write_bytes(packed)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HostFault(f"could not write {path}: {error.strerror}; free some space and run again") from error
    return hashlib.sha256(packed).hexdigest()
