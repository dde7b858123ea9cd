"""One label of an untrusted npz file, read without pickle inside the confined worker.

The header of the array is read before its voxels, and no more is decompressed than the grid has.
Only what numpy writes is read: of the other compressions of zip files, Python's zipfile expands a
whole block at once, which may be a thousand times larger than the file.
"""

from __future__ import annotations

import io
import struct
import tokenize
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
#: of the list of members at the end of a zip file (APPNOTE 4.3.12), which is read as a whole
MOST_LIST_BYTES = 2**20
#: last record of a zip file, and the record before it in files above 4 GiB (4.3.15, 4.3.16)
END, END_BYTES, MOST_COMMENT_BYTES = b"PK\x05\x06", 22, 2**16 - 1
END_64, END_64_BYTES, LOCATOR_64, LOCATOR_64_BYTES = b"PK\x06\x06", 56, b"PK\x06\x07", 20
#: how numpy stores arrays
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: zipfile checks neither offsets, which may be negative or above 2**63, nor the bytes of names
BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError, NotImplementedError,
    ValueError, OverflowError,
)  # fmt: skip
BROKEN_HEADER = (
    ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError,
    IndexError,
)  # fmt: skip
#: of a reason that quotes the file
MOST_REASON = 200


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
    if _list_bytes(body) > MOST_LIST_BYTES:
        raise RefusedFileError("unsafe-file", f"more than {MOST_MEMBERS} arrays")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if len(archive.infolist()) > MOST_MEMBERS:
                raise RefusedFileError("unsafe-file", f"more than {MOST_MEMBERS} arrays")
            entry = archive.getinfo(f"{array}.npy")
            if entry.compress_type not in COMPRESSIONS:
                method = f"{array} is compressed by method {entry.compress_type}"
                raise RefusedFileError("unsafe-file", f"{method}, which numpy does not write")
            with archive.open(entry) as member:
                labels = _read(member, grid, array)
    except KeyError:
        raise RefusedFileError("missing", f"the file has no array {array}") from None
    except (*BROKEN, RuntimeError) as error:
        reason = f"the file cannot be read: {error}"[:MOST_REASON]
        raise RefusedFileError("unsafe-file", reason) from None
    mask = (labels == label).transpose(2, 1, 0)
    box = crop_mask(np.asfortranarray(mask), grid, (0, 0, 0))
    return list(box.offset), box.array.view(np.uint8)


def _list_bytes(body: bytes) -> int:
    """How many bytes zipfile would read as the list of members; 0 if the file is no zip file."""
    lowest = max(len(body) - END_BYTES - MOST_COMMENT_BYTES, 0)
    at = body.rfind(END, lowest, len(body) - END_BYTES + len(END))
    if at < 0:
        return 0
    size = int.from_bytes(body[at + 12 : at + 16], "little")
    locator = at - LOCATOR_64_BYTES
    if locator < END_64_BYTES or not body.startswith(LOCATOR_64, locator):
        return size
    before = _list_bytes_64(body, locator - END_64_BYTES)
    # newer versions of zipfile look where the locator points to
    named = _list_bytes_64(body, int.from_bytes(body[locator + 8 : locator + 16], "little"))
    return max(size if before is None else before, named or 0)


def _list_bytes_64(body: bytes, record: int) -> int | None:
    """The size in a record of a file above 4 GiB; None if there is no such record."""
    if body[record : record + len(END_64)] != END_64:
        return None
    return int.from_bytes(body[record + 40 : record + 48], "little")


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
    except BROKEN_HEADER as error:
        reason = f"the header of {array} cannot be read: {error}"[:MOST_REASON]
        raise RefusedFileError("unsafe-file", reason) from None
    if dtype.hasobject or dtype.kind not in "bui":
        raise RefusedFileError(
            "wrong-values", f"{array} holds {dtype!s:.80}; a label map holds whole numbers"
        )
    expected = tuple(reversed(grid.shape))
    if tuple(shape) != expected:
        text = str(shape)[:MOST_REASON]
        raise RefusedFileError("wrong-shape", f"{array} has shape {text}, expected {expected}")
    count = int(np.prod(grid.shape, dtype=np.int64)) * dtype.itemsize
    raw = member.read(count)
    if len(raw) < count:
        raise RefusedFileError("unsafe-file", f"{count - len(raw)} bytes of {array} are missing")
    order: Any = "F" if is_fortran else "C"
    return np.frombuffer(raw, dtype=dtype).reshape(expected, order=order)
