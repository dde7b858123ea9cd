"""Gzip files assembled from blocks, because most of a mask is known to be zeros.

Deflate (RFC 1951) is a sequence of blocks. Blocks of zeros are compressed once and reused wherever
zeros occur; a block may also store its bytes uncompressed.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from isal import isal_zlib

from zoo_sdk.files import mask_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.imaging.grid_masks import GridMask

RAW = -15
#: isal's level: 0 is its fastest, masks are no smaller with more
LEVEL = 1
#: zlib's levels for zeros: level 9 takes one kilobyte a megabyte; level 3 takes four and is
#: decompressed three times faster
SMALL_ZEROS, QUICK_ZEROS = 9, 3
#: deflate, no name, no time, from an unknown system
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
END_OF_STREAM = b"\x03\0"
#: zeros of one compressed block
MANY_ZEROS = 2**20
ZEROS = memoryview(bytes(MANY_ZEROS))
#: the most bytes of one uncompressed block
STORED_BYTES = 2**16 - 1


def store(head: bytes, voxels: memoryview) -> Iterator[bytes | memoryview]:
    """A gzip file with uncompressed content, which is read several times faster."""
    yield GZIP_HEADER
    for content in (memoryview(head), voxels):
        for at in range(0, len(content), STORED_BYTES):
            block = content[at : at + STORED_BYTES]
            yield struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF)
            yield block
    crc = isal_zlib.crc32(voxels, isal_zlib.crc32(head))
    yield END_OF_STREAM + struct.pack("<2L", crc, (len(head) + len(voxels)) & 0xFFFFFFFF)


def pack_mask(mask: GridMask, *, quick: bool = False) -> bytes:
    """The gzip file of a mask as NIfTI.

    Only the rows that hold the mask are compressed; zeros come from memory. ``quick`` gives a file
    that is a few times larger and read a few times faster.
    """
    stream = _Stream(QUICK_ZEROS if quick else SMALL_ZEROS)
    for block in mask_pieces(mask.array.view(np.uint8), mask.offset, mask.grid):
        if isinstance(block, int):
            stream.add_zeros(block)
        else:
            stream.add(block)
    return stream.end()


class _Stream:
    """A gzip file being written: its blocks, and the checksum and size of their content."""

    def __init__(self, zeros_level: int) -> None:
        self._blocks = [GZIP_HEADER]
        self._crc = 0
        self._size = 0
        self._compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW)
        self._zeros_level = zeros_level

    def add(self, content: bytes) -> None:
        """Add bytes to be compressed."""
        # a full flush resets the compressor, so blocks of zeros may follow: later blocks refer to
        # nothing before it
        self._blocks.append(self._compressor.compress(content))
        self._blocks.append(self._compressor.flush(isal_zlib.Z_FULL_FLUSH))
        self._crc = isal_zlib.crc32(content, self._crc)
        self._size += len(content)

    def add_zeros(self, count: int) -> None:
        """Add ``count`` zeros."""
        many, rest = divmod(count, MANY_ZEROS)
        self._blocks += [_compressed_zeros(MANY_ZEROS, self._zeros_level)] * many
        for _ in range(many):
            self._crc = _crc_after_many_zeros(self._crc)
        if rest:
            self._blocks.append(_compressed_zeros(rest, self._zeros_level))
            self._crc = isal_zlib.crc32(ZEROS[:rest], self._crc)
        self._size += count

    def end(self) -> bytes:
        """The complete file."""
        return b"".join(
            [*self._blocks, END_OF_STREAM, struct.pack("<2L", self._crc, self._size & 0xFFFFFFFF)]
        )


@lru_cache(maxsize=512)
def _compressed_zeros(count: int, level: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, RAW)
    return compressor.compress(bytes(count)) + compressor.flush(zlib.Z_FULL_FLUSH)


def _crc_after_many_zeros(crc: int) -> int:
    """The checksum after ``MANY_ZEROS`` more zeros.

    It is linear in the bits of the checksum before, plus a constant.
    """
    after, bits = _many_zeros()
    for bit in bits:
        if crc & 1:
            after ^= bit
        crc >>= 1
    return after


@cache
def _many_zeros() -> tuple[int, tuple[int, ...]]:
    after_none = isal_zlib.crc32(ZEROS, 0)
    return after_none, tuple(isal_zlib.crc32(ZEROS, 1 << n) ^ after_none for n in range(32))
