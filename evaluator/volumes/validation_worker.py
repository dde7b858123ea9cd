"""The child behind ``MaskValidator``: reads masks of unknown origin from standard input, in a process that can open no file.

For each request: the wanted grid as JSON, then the file's bytes, each after its length. For each answer: a verdict as
JSON after its length; if it is "ok", it has the box [low, high) that holds the mask, and one byte a voxel of the box
follows, last index fastest. Most of a whole-body mask is zeros, and those are looked at once and never copied.
"""

from __future__ import annotations

import json
import resource
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any

import nibabel
import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import TOLERANCE_MM, describe, difference, make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.volumes.mask_validation import LENGTH
from zoo_sdk import nifti

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

HEADER_BYTES = 352
MOST_EXTENSION_BYTES = 2**20
MEMORY_BYTES = 16 * 2**30
MOST_MEMBERS = 100_000
#: what is decompressed and looked at in one go; small enough to stay in the processor's cache
PIECE_BYTES = 2**17
ZEROS = bytes(PIECE_BYTES)
MAGIC = b"\x1f\x8b"
PACKED_ZEROS = nifti.packed_zeros(nifti.MANY_ZEROS)


class RefusedFileError(Exception):
    """The file is not to be believed: a status of the contract, and why."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def main() -> None:
    """Answer until the input ends."""
    confine()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while question := _receive(source):
        body = _receive(source)
        wanted = json.loads(question)
        try:
            low, voxels = inspect(body, make_grid(wanted["shape"], wanted["affine"]))
        except RefusedFileError as refused:
            _send(sink, json.dumps({"status": refused.status, "detail": refused.detail}).encode())
        else:
            high = [int(l) + n for l, n in zip(low, voxels.shape, strict=True)]
            _send(sink, json.dumps({"status": "ok", "low": low, "high": high}).encode())
            sink.write(voxels.tobytes())
        sink.flush()


def confine() -> None:
    """No new file can be opened, none can grow, no process started, and memory is bounded."""
    inspect(
        _rehearsal(), make_grid((1, 1, 1), np.eye(4))
    )  # everything that is imported late is imported now
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for limit in (
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_CORE,
        resource.RLIMIT_NPROC,
        resource.RLIMIT_NOFILE,
    ):
        resource.setrlimit(limit, (0, 0))


def inspect(body: bytes, grid: Grid) -> tuple[list[int], NDArray[np.uint8]]:
    """The first index of the box that holds the mask, and the box's voxels (i, j, k); raises RefusedFileError."""
    stream = Bounded(body)
    header = _header(stream.read(HEADER_BYTES))
    if (letter := header.get_data_dtype()) != np.uint8:
        raise RefusedFileError("wrong-values", f"voxels are {letter}; a mask is uint8, 0 and 1")
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if shape != grid.shape:
        raise RefusedFileError("wrong-shape", f"shape {shape} where {grid.shape} was asked for")
    _check_place(header, grid)
    offset = int(header["vox_offset"])
    if not HEADER_BYTES <= offset <= HEADER_BYTES + MOST_EXTENSION_BYTES:
        raise RefusedFileError("unsafe-file", f"voxels are said to begin at byte {offset}")
    stream.read(offset - HEADER_BYTES)
    pieces = _pieces(stream, int(np.prod(grid.shape, dtype=np.int64)))
    if stream.read(1):
        raise RefusedFileError("too-large", "there is more in the file than its header says")
    return _box(pieces, grid)


def _pieces(stream: Bounded, count: int) -> list[tuple[int, bytes]]:
    """The pieces of the voxels in which not all are 0, each with its place; raises RefusedFileError."""
    pieces, at = [], 0
    while at < count:
        piece = stream.read(min(PIECE_BYTES, count - at))
        if not piece:
            raise RefusedFileError("unsafe-file", f"{count - at} bytes of voxels are missing")
        if piece != ZEROS[: len(piece)]:
            voxels = np.frombuffer(piece, dtype=np.uint8)
            if voxels.max() > 1:
                values = ", ".join(map(str, np.flatnonzero(np.bincount(voxels))[:8]))
                raise RefusedFileError(
                    "wrong-values", f"values {values}; a mask is 0 and 1, one file a target"
                )
            pieces.append((at, piece))
        at += len(piece)
    return pieces


def _box(pieces: list[tuple[int, bytes]], grid: Grid) -> tuple[list[int], NDArray[np.uint8]]:
    """The tight box about the voxels that are 1, out of the slices that the pieces lie in."""
    ni, nj, _ = grid.shape
    if not pieces:
        return [0, 0, 0], np.zeros((0, 0, 0), dtype=np.uint8)
    first, last = pieces[0][0] // (ni * nj), (pieces[-1][0] + len(pieces[-1][1]) - 1) // (ni * nj)
    flat = np.zeros((last - first + 1) * ni * nj, dtype=np.uint8)
    for at, piece in pieces:
        own = at - first * ni * nj
        flat[own : own + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
    box = crop_mask(flat.view(np.bool_).reshape((ni, nj, -1), order="F"), grid, (0, 0, first))
    return list(box.offset), box.array.view(np.uint8)


class Bounded:
    """Bytes of a file that may be gzip, decompressed only as far as they are read."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = memoryview(body), 0
        self._unpack: Any = isal_zlib.decompressobj(wbits=31) if body[:2] == MAGIC else None
        self._packed = self._unpack is not None
        self._rest, self._members, self._zeros = b"", 1, 0

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, fewer at the end; raises RefusedFileError where the compression is broken."""
        if not self._packed:
            return self._take(count)
        parts = []
        try:
            while count and (part := self._next(count)):
                parts.append(part)
                count -= len(part)
        except (zlib.error, EOFError, ValueError) as error:
            raise RefusedFileError(
                "unsafe-file", f"the compressed data are broken: {error}"
            ) from None
        return b"".join(parts)

    def _next(self, count: int) -> bytes:
        """Some bytes, at most ``count``; none at the end."""
        while not self._zeros and self._unpack is not None:
            self._rest = self._rest or self._take(PIECE_BYTES)
            part: bytes = self._unpack.decompress(self._rest, count)
            self._rest = self._unpack.unconsumed_tail
            if self._unpack.eof:
                self._begin_member(self._unpack.unused_data)
            elif not part and not self._rest and self._at >= len(self._body):
                raise EOFError("they end too soon")
            if part:
                return part
        known = min(count, self._zeros, PIECE_BYTES)
        self._zeros -= known
        return ZEROS[:known]

    def _begin_member(self, rest: bytes) -> None:
        """Go on with the gzip file that is joined to the one that has ended, if there is one.

        Those that are the SDK's own zeros, byte for byte, need not be unpacked to know what they hold.
        """
        self._unpack = None
        while (rest := self._filled(rest)).startswith(PACKED_ZEROS):
            self._zeros += nifti.MANY_ZEROS
            rest = rest[len(PACKED_ZEROS) :]
        self._rest = rest
        if rest.startswith(MAGIC):
            self._members += 1
            if self._members > MOST_MEMBERS:
                raise RefusedFileError(
                    "unsafe-file", f"more than {MOST_MEMBERS} gzip files joined in one"
                )
            self._unpack = isal_zlib.decompressobj(wbits=31)

    def _filled(self, rest: bytes) -> bytes:
        return rest if len(rest) >= len(PACKED_ZEROS) else rest + self._take(PIECE_BYTES)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._body[self._at : self._at + count])
        self._at += count
        return taken


def _header(block: bytes) -> Any:
    if block[344:348] != b"n+1\0":
        raise RefusedFileError("unsafe-file", "not a single-file NIfTI-1")
    order = "<" if block[:4] == (348).to_bytes(4, "little") else ">"
    try:
        header = nibabel.Nifti1Header(block[:348], endianness=order, check=False)
        if not 1 <= int(header["dim"][0]) <= 7:
            raise ValueError("the number of dimensions is not between 1 and 7")
        header.get_data_shape()
        header.get_data_dtype()
    except (HeaderDataError, ValueError, KeyError, TypeError) as error:
        raise RefusedFileError("unsafe-file", f"the header cannot be read: {error}") from None
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (slope in (0.0, 1.0) or np.isnan(slope)) or not (intercept == 0 or np.isnan(intercept)):
        raise RefusedFileError(
            "wrong-values", f"the header scales the values (slope {slope}, intercept {intercept})"
        )
    return header


def _check_place(header: Any, grid: Grid) -> None:
    try:
        own = make_grid(grid.shape, header.get_best_affine())
    except (VolumeError, HeaderDataError, ValueError) as error:
        raise RefusedFileError("wrong-affine", f"no usable affine: {error}") from None
    # one bound for all voxels: where the corners agree, all do
    if apart := difference(grid, own, TOLERANCE_MM):
        raise RefusedFileError(
            "wrong-affine",
            f"asked for {describe(grid)}; {apart.rsplit(': ', 1)[1]} in {describe(own)}",
        )


def _receive(stream: IO[bytes]) -> bytes:
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def _send(stream: IO[bytes], body: bytes) -> None:
    stream.write(LENGTH.pack(len(body)))
    stream.write(body)


def _rehearsal() -> bytes:
    image = nibabel.Nifti1Image(np.ones((1, 1, 1), dtype=np.uint8), np.eye(4))
    return bytes(image.to_bytes())


if __name__ == "__main__":
    main()
