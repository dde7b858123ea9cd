"""The bytes of a volume's voxels, decompressed up to the number that its header declares."""

from __future__ import annotations

import bz2
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip, isal_zlib

if TYPE_CHECKING:
    from evaluator.volumes.headers import Header


#: isal's type stubs declare its exception as an instance
BROKEN: Any = isal_zlib.error


MOST_TEXT_BYTES = 2**28
"""The most bytes of voxels in text, which take many times as much memory while they are read."""


def unpacked(body: bytes) -> bytes | None:
    """The content of a NIfTI file; None if it must be read by parts, as with junk at its end."""
    if body[:2] != b"\x1f\x8b":
        return body
    try:
        content: bytes = igzip.decompress(body)
    except (OSError, EOFError, zlib.error, BROKEN):
        return None
    return content


def decoded(header: Header, body: bytes) -> bytes | memoryview:
    """The bytes of the voxels of a MetaImage or NRRD file.

    Raises:
        ValueError: they are more than the header declares, or not numbers.
    """
    start = len(body) - header.bytes if header.start is None else header.start
    if start < 0:
        return b""
    for _ in range(header.skipped_lines):
        start = body.find(b"\n", start) + 1 or len(body)
    if header.encoding == "raw":
        start += header.skipped_bytes
        return memoryview(body)[start : start + header.bytes]
    if header.encoding == "text":
        return _from_text(header, body[start + header.skipped_bytes :])
    return _decompressed(header, memoryview(body)[start:])


def _from_text(header: Header, text: bytes) -> bytes:
    if len(text) > MOST_TEXT_BYTES:
        raise ValueError(f"numbers in text of more than {MOST_TEXT_BYTES} bytes are not read")
    parts = text.replace(b",", b" ").split()
    count = int(np.prod(header.shape, dtype=np.int64))
    if len(parts) > count:
        raise ValueError("it holds more numbers than its header declares")
    kind: type = float if header.dtype.kind == "f" else int
    values = np.array([kind(part) for part in parts], dtype=header.dtype)
    return values.tobytes()


def _decompressed(header: Header, packed: memoryview) -> bytes:
    length = header.skipped_bytes + header.bytes
    if header.encoding == "bzip2":
        unpack_bzip2 = bz2.BZ2Decompressor()
        raw = unpack_bzip2.decompress(packed, length)
        while len(raw) < length and not unpack_bzip2.eof:
            part = unpack_bzip2.decompress(b"", length - len(raw))
            if not part:
                break
            raw += part
        excess = b"" if unpack_bzip2.eof else unpack_bzip2.decompress(b"", 1)
    else:
        unpack: Any = isal_zlib.decompressobj(wbits=31 if header.encoding == "gzip" else 15)
        raw = unpack.decompress(packed, length)
        # decompressing one byte more verifies the checksum at the end
        excess = unpack.decompress(unpack.unconsumed_tail, 1)
    if excess:
        raise ValueError("it holds more bytes than its header declares")
    return raw[header.skipped_bytes :]
