"""Forward-only reading of strangers' files, with limits on bytes and time.

A stream hashes all that passes it and holds a few blocks at most, so a file of any size is read in
constant memory. A compressed stream is unpacked block by block: a bomb ends at the limit.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import time
import zlib
from typing import TYPE_CHECKING, Protocol

from evaluator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 2**18
#: first bytes of compressed files
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
#: compressed streams that a file may hold one after another
MOST_STREAMS = 100_000
#: memory that the decoder of xz may take, bytes
XZ_MEMORY = 2**28


class LimitReachedError(UserError):
    """A limit on bytes, entries or time was reached; the rest of the file was not read."""


class DamagedStreamError(UserError):
    """A compressed or packed stream ends too early, or is not what it claims to be."""


class Budget:
    """What the inspection of one file may still take."""

    def __init__(self, *, unpacked_bytes: int, entries: int, seconds: float) -> None:
        """Start the clock.

        Args:
            unpacked_bytes: most bytes of all layers together, unpacked.
            entries: most files, folders and links of all layers together.
            seconds: longest time.
        """
        self.unpacked_limit, self.entry_limit, self.seconds = unpacked_bytes, entries, seconds
        self._unpacked = self._entries = 0
        self._end = time.monotonic() + seconds

    def take_bytes(self, count: int) -> None:
        """Count unpacked bytes; raises LimitReachedError."""
        self._unpacked += count
        if self._unpacked > self.unpacked_limit:
            raise LimitReachedError(
                f"the archive unpacks to more than {self.unpacked_limit / 2**30:g} GiB"
            )
        if time.monotonic() > self._end:
            raise LimitReachedError(f"the archive was not read within {self.seconds:g} s")

    def take_entry(self) -> None:
        """Count an entry of a layer; raises LimitReachedError."""
        self._entries += 1
        if self._entries > self.entry_limit:
            raise LimitReachedError(f"the layers have more than {self.entry_limit} entries")


class Stream:
    """A source of bytes that is read once, from begin to end.

    It has the methods that ``tarfile`` needs; a step back is an error.
    """

    def __init__(self, source: Callable[[int], bytes], same_as: Stream | None = None) -> None:
        """Take a source.

        Args:
            source: returns at most so many bytes; none at the end.
            same_as: a stream of the same bytes, which hashes them.
        """
        self._source = source
        self._same_as = same_as
        self._hash = hashlib.sha256()
        self._block, self._offset = b"", 0
        self._position = 0
        #: the last block that ``read`` returned
        self.last = b""
        #: bytes that ``read`` may still return; headers are read with it, contents are skipped
        self.header_budget: int | None = None

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay."""
        while len(self._block) - self._offset < count:
            block = self._next_block()
            if not block:
                break
            self._block = self._block[self._offset :] + block
            self._offset = 0
        return self._block[self._offset : self._offset + count]

    def read_some(self, count: int) -> bytes:
        """At most ``count`` bytes; none at the end."""
        if self._offset == len(self._block):
            self._block, self._offset = self._next_block(), 0
        part = self._block[self._offset : self._offset + count]
        self._offset += len(part)
        self._position += len(part)
        return part

    def _next_block(self) -> bytes:
        block = self._source(BLOCK)
        if self._same_as is None:
            self._hash.update(block)
        return block

    def read(self, count: int) -> bytes:
        """``count`` bytes, fewer at the end; raises DamagedStreamError for too many."""
        if self.header_budget is not None:
            self.header_budget -= count
            if count < 0 or self.header_budget < 0:
                raise DamagedStreamError("the header of an entry is too long")
        blocks = []
        while count > 0:
            block = self.read_some(count)
            if not block:
                break
            blocks.append(block)
            count -= len(block)
        self.last = b"".join(blocks)
        return self.last

    def skip(self, count: int) -> int:
        """Read and forget; returns how many bytes there were."""
        left = count
        while left > 0:
            block = self.read_some(left)
            if not block:
                break
            left -= len(block)
        return count - left

    def drain(self) -> int:
        """Read to the end; returns how many bytes there were, without those that are 0."""
        content = 0
        while block := self.read_some(BLOCK):
            content += len(block) - block.count(0)
        return content

    def tell(self) -> int:
        """Bytes read so far."""
        return self._position

    def seek(self, position: int, whence: int = 0) -> int:
        """Go forward; raises DamagedStreamError for a step back."""
        if whence != 0 or position < self._position:
            raise DamagedStreamError("an entry points backwards")
        self.skip(position - self._position)
        return self._position

    @property
    def sha256(self) -> str:
        """Of all bytes, in hex; the stream must have been read to its end."""
        return self._hash.hexdigest() if self._same_as is None else self._same_as.sha256


def window(stream: Stream, size: int) -> Stream:
    """The next ``size`` bytes of a stream as a stream."""
    left = size

    def read(count: int) -> bytes:
        nonlocal left
        block = stream.read_some(min(count, left)) if left > 0 else b""
        left -= len(block)
        return block

    return Stream(read)


class _Decoder(Protocol):
    def decompress(self, data: bytes, limit: int) -> bytes: ...
    @property
    def finished(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)

    def decompress(self, data: bytes, limit: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, limit)

    @property
    def finished(self) -> bool:
        return self._decoder.eof

    @property
    def rest(self) -> bytes:
        return self._decoder.unused_data


class _Library:
    """Decoders of bz2 and lzma, which share their methods."""

    def __init__(self, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decoder = decoder

    def decompress(self, data: bytes, limit: int) -> bytes:
        return self._decoder.decompress(data, limit)

    @property
    def finished(self) -> bool:
        return self._decoder.eof

    @property
    def rest(self) -> bytes:
        return self._decoder.unused_data


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": _Gzip,
    "bzip2": lambda: _Library(bz2.BZ2Decompressor()),
    "xz": lambda: _Library(lzma.LZMADecompressor(memlimit=XZ_MEMORY)),
}


def compression_of(stream: Stream) -> str:
    """The compression that the first bytes of a stream show; empty: none."""
    begin = stream.peek(8)
    names = [name for magic, name in MAGIC.items() if begin.startswith(magic)]
    return names[0] if names else ""


def unpacked(stream: Stream, budget: Budget) -> Stream:
    """The unpacked bytes of a stream; of one that is not compressed, its bytes.

    Each byte that passes is taken from the budget.

    Raises:
        DamagedStreamError: the compression is not one that is read here. Reading the stream
            raises it where the packed data are damaged or cut short.
    """
    name = compression_of(stream)
    if name and name not in _DECODERS:
        raise DamagedStreamError(f"is compressed with {name}, which is not read; use gzip")
    read = _unpacking(stream, _DECODERS[name]) if name else stream.read_some

    def counted(count: int) -> bytes:
        block = read(count)
        budget.take_bytes(len(block))
        return block

    return Stream(counted, same_as=None if name else stream)


def _unpacking(stream: Stream, start: Callable[[], _Decoder]) -> Callable[[int], bytes]:
    """A reader of one compressed stream after another, as gzip files may be concatenated."""
    decoder = start()
    data = b""
    streams = 1

    def read(count: int) -> bytes:
        nonlocal decoder, data, streams
        while True:
            if decoder.finished:
                data = decoder.rest.lstrip(b"\0") or stream.read_some(BLOCK).lstrip(b"\0")
                if not data:
                    return b""
                decoder, streams = start(), streams + 1
                if streams > MOST_STREAMS:
                    raise DamagedStreamError(f"has more than {MOST_STREAMS} compressed parts")
            block = _decompress(decoder, data, count)
            data = b""
            if block:
                return block
            if not decoder.finished:
                data = stream.read_some(BLOCK)
                if not data:
                    raise DamagedStreamError("is cut short: its compressed data have no end")

    return read


def _decompress(decoder: _Decoder, data: bytes, count: int) -> bytes:
    try:
        return decoder.decompress(data, max(count, 1))
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise DamagedStreamError(f"is damaged: {error}") from None
