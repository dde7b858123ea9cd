"""Files that gzip or DICOM's deflated syntax compressed: what they hold is read within limits.

A small file can hold terabytes. A header is read as a stream, without what follows it, and no more
of it than ``MOST_HEADER_BYTES``. Voxels need the complete content, up to ``MOST_BYTES``.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Self, cast

from evaluator.errors import VolumeError

if TYPE_CHECKING:
    from pathlib import Path

#: first bytes of a file that gzip wrote
GZIP = b"\x1f\x8b"
#: of a compressed file, when unpacked
MOST_BYTES = 2**31
#: of the header of a compressed file, when unpacked; contours are part of a header
MOST_HEADER_BYTES = 2**28
#: bytes that are unpacked at a time to measure a file
CHUNK = 2**20
#: transfer syntax of deflated datasets, which is stated within the first HEAD_BYTES
DEFLATED = b"1.2.840.10008.1.2.1.99"
HEAD_BYTES = 2**10
#: (0002,0000), the length of its group, stands after the preamble and the marker DICM
META_START = 132
META_LENGTH = struct.Struct("<HH2sHI")
DAMAGED = "its compressed content is damaged or incomplete"


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file's content, as far as they can be unpacked. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(count)
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, count)
    except zlib.error:
        return b""


def open_content(path: Path, *, pixels: bool) -> IO[bytes]:
    """A file, or the content of a compressed one.

    Args:
        path: the file.
        pixels: the complete content will be read, not the header alone.

    Raises:
        VolumeError: the content is damaged or too large.
        OSError: the file cannot be read.
    """
    file = path.open("rb")
    is_compressed = file.read(2) == GZIP
    file.seek(0)
    if not is_compressed:
        return file
    file.close()
    if not pixels:
        return cast("IO[bytes]", _HeaderStream(path))
    content = _unpacked(path, MOST_BYTES + 1)
    if not content:
        raise VolumeError(DAMAGED)
    if len(content) > MOST_BYTES:
        raise VolumeError(f"it holds more than {MOST_BYTES // 2**30} GiB when unpacked")
    return BytesIO(content)


def check_deflated(file: IO[bytes], head: bytes) -> None:
    """Raise VolumeError if the dataset of a file is deflated, and damaged or above MOST_BYTES.

    Args:
        file: its position is not changed.
        head: the first bytes of its content, at least HEAD_BYTES if it has them.
    """
    if DEFLATED not in head:
        return
    place = file.tell()
    file.seek(_end_of_meta(head))
    unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    packed = file.read(CHUNK)
    try:
        while packed and not unpacker.eof:
            size += len(unpacker.decompress(packed, CHUNK))
            if size > MOST_BYTES:
                raise VolumeError(f"it holds more than {MOST_BYTES // 2**30} GiB when unpacked")
            packed = unpacker.unconsumed_tail or file.read(CHUNK)
    except zlib.error:
        raise VolumeError(DAMAGED) from None
    file.seek(place)


def _end_of_meta(head: bytes) -> int:
    """Where the dataset begins, after the group of elements about the file (0002,xxxx)."""
    first = head[META_START : META_START + META_LENGTH.size]
    if len(first) < META_LENGTH.size:
        raise VolumeError(DAMAGED)
    group, element, kind, _, length = META_LENGTH.unpack(first)
    if (group, element, kind) != (2, 0, b"UL"):
        raise VolumeError(DAMAGED)
    return META_START + META_LENGTH.size + int(length)


def _unpacked(path: Path, count: int) -> bytes:
    """The first bytes of the content of a compressed file; none if it is damaged."""
    try:
        with gzip.open(path) as file:
            return file.read(count)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""


class _HeaderStream:
    """The beginning of a compressed file, unpacked as far as it is read."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115  closed by close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def tell(self) -> int:
        return self._file.tell()

    def read(self, count: int = -1) -> bytes:
        rest = MOST_HEADER_BYTES - self._file.tell()
        if count < 0 or count > rest:
            # a length that a damaged header states is harmless if the file ends before
            content = self._guarded("read", rest + 1)
            if len(content) > rest:
                raise VolumeError(f"its header has more than {MOST_HEADER_BYTES // 2**20} MiB")
            return bytes(content)
        return bytes(self._guarded("read", count))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            raise VolumeError(DAMAGED)
        place = offset + (self._file.tell() if whence == os.SEEK_CUR else 0)
        if place > MOST_HEADER_BYTES:
            raise VolumeError(f"its header has more than {MOST_HEADER_BYTES // 2**20} MiB")
        return int(self._guarded("seek", place))

    def _guarded(self, method: str, argument: int) -> Any:
        """What the file's method gives. Damage is an error, not an end of the file."""
        try:
            return getattr(self._file, method)(argument)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise VolumeError(DAMAGED) from None
