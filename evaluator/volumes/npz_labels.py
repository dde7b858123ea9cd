"""One label of an untrusted npz file, read without pickle inside the confined worker.

The header of the array is read before its voxels, and no more is decompressed than the grid has.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from evaluator.imaging.grid_masks import crop_mask
from evaluator.volumes.refused_file import RefusedFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

MOST_MEMBERS = 64
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, OSError,
    NotImplementedError,
)  # fmt: skip


def inspect_npz(
    body: bytes, grid: Grid, array: str, label: int
) -> tuple[list[int], NDArray[np.uint8]]:
    """Read the voxels of one label.

    Args:
        body: the file.
        grid: the grid; the array is (k, j, i).
        array: name of the array in the file.
        label: the value of the voxels.

    Returns:
        The first index of the box that holds the label, and the box's voxels (i, j, k), 0 or 1.

    Raises:
        RefusedFileError: the file is not a label map on this grid.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if len(archive.infolist()) > MOST_MEMBERS:
                raise RefusedFileError("unsafe-file", f"more than {MOST_MEMBERS} arrays")
            with archive.open(f"{array}.npy") as member:
                labels = _read(member, grid, array)
    except KeyError:
        raise RefusedFileError("missing", f"the file has no array {array}") from None
    except (*BROKEN, RuntimeError) as error:
        raise RefusedFileError("unsafe-file", f"the file cannot be read: {error}") from None
    mask = (labels == label).transpose(2, 1, 0)
    box = crop_mask(np.asfortranarray(mask), grid, (0, 0, 0))
    return list(box.offset), box.array.view(np.uint8)


def smallest_npz(array: str) -> bytes:
    """A valid label map of one voxel with label 1, as a file."""
    body = io.BytesIO()
    content: Any = {array: np.ones((1, 1, 1), dtype=np.uint8)}
    np.savez_compressed(body, **content)
    return body.getvalue()


def _read(member: IO[bytes], grid: Grid, array: str) -> NDArray[Any]:
    """The array, checked against the grid before its voxels are decompressed."""
    try:
        version = npy.read_magic(member)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(member)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise RefusedFileError(
            "unsafe-file", f"the header of {array} cannot be read: {error}"
        ) from None
    if dtype.hasobject or dtype.kind not in "bui":
        raise RefusedFileError(
            "wrong-values", f"{array} holds {dtype}; a label map holds whole numbers"
        )
    expected = tuple(reversed(grid.shape))
    if tuple(shape) != expected:
        raise RefusedFileError("wrong-shape", f"{array} has shape {shape}, expected {expected}")
    count = int(np.prod(grid.shape, dtype=np.int64)) * dtype.itemsize
    raw = member.read(count)
    if len(raw) < count:
        raise RefusedFileError("unsafe-file", f"{count - len(raw)} bytes of {array} are missing")
    order: Any = "F" if is_fortran else "C"
    return np.frombuffer(raw, dtype=dtype).reshape(expected, order=order)
