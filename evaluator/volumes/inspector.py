"""The child behind ``MaskGate``: reads masks of unknown origin from standard input, in a process that can open no file.

For each request: the wanted grid as JSON, then the file's bytes, each after its length. For each answer: a verdict as
JSON after its length, and if it is "ok" one byte a voxel, first index fastest.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any

import nibabel
import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError

from evaluator.errors import BadVolume
from evaluator.geometry import TOLERANCE_MM, describe, difference, make_grid
from evaluator.volumes.gate import LENGTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

HEADER_BYTES = 352
MOST_EXTENSION_BYTES = 2**20
MEMORY_BYTES = 16 * 2**30


class Refused(Exception):
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
            voxels = inspect(body, make_grid(wanted["shape"], wanted["affine"]))
        except Refused as refused:
            _send(sink, json.dumps({"status": refused.status, "detail": refused.detail}).encode())
        else:
            _send(sink, b'{"status": "ok"}')
            sink.write(voxels.data)
        sink.flush()


def confine() -> None:
    """No new file can be opened, none can grow, no process started, and memory is bounded."""
    inspect(_rehearsal(), make_grid((1, 1, 1), np.eye(4)))  # everything that is imported late is imported now
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))


def inspect(body: bytes, grid: Grid) -> NDArray[np.uint8]:
    """The mask's voxels, flat, first index fastest; raises Refused."""
    stream = Bounded(body)
    header = _header(stream.read(HEADER_BYTES))
    if (letter := header.get_data_dtype()) != np.uint8:
        raise Refused("wrong-values", f"voxels are {letter}; a mask is uint8, 0 and 1")
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if shape != grid.shape:
        raise Refused("wrong-shape", f"shape {shape} where {grid.shape} was asked for")
    _check_place(header, grid)
    offset = int(header["vox_offset"])
    if not HEADER_BYTES <= offset <= HEADER_BYTES + MOST_EXTENSION_BYTES:
        raise Refused("unsafe-file", f"voxels are said to begin at byte {offset}")
    stream.read(offset - HEADER_BYTES)
    count = int(np.prod(grid.shape, dtype=np.int64))
    data = stream.read(count)
    if len(data) < count:
        raise Refused("unsafe-file", f"{count - len(data)} bytes of voxels are missing")
    if stream.read(1):
        raise Refused("too-large", "there is more in the file than its header says")
    voxels = np.frombuffer(data, dtype=np.uint8)
    if voxels.max() > 1:
        values = np.flatnonzero(np.bincount(voxels, minlength=256))
        raise Refused("wrong-values", f"values {', '.join(map(str, values[:8]))}; a mask is 0 and 1, one file a target")
    return voxels


class Bounded:
    """Bytes of a file that may be gzip, decompressed only as far as they are read."""

    def __init__(self, body: bytes) -> None:
        self._packed = body[:2] == b"\x1f\x8b"
        self._rest = body
        self._stream = io.BytesIO(b"" if self._packed else body)
        self._unpack: Any = isal_zlib.decompressobj(wbits=31)

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, fewer at the end; raises Refused where the compression is broken."""
        if not self._packed:
            return self._stream.read(count)
        parts = []
        try:
            while count:
                part = self._unpack.decompress(self._rest, count)
                parts.append(part)
                count -= len(part)
                self._rest = self._unpack.unconsumed_tail or self._unpack.unused_data
                if self._unpack.eof and self._rest[:2] == b"\x1f\x8b":
                    self._unpack = isal_zlib.decompressobj(wbits=31)  # gzip files may be joined
                elif not part:
                    break
        except (zlib.error, EOFError, ValueError) as error:
            raise Refused("unsafe-file", f"the compressed data are broken: {error}") from None
        return b"".join(parts)


def _header(block: bytes) -> Any:
    if block[344:348] != b"n+1\0":
        raise Refused("unsafe-file", "not a single-file NIfTI-1")
    order = "<" if block[:4] == (348).to_bytes(4, "little") else ">"
    try:
        header = nibabel.Nifti1Header(block[:348], endianness=order, check=False)
        if not 1 <= int(header["dim"][0]) <= 7:
            raise ValueError("the number of dimensions is not between 1 and 7")
        header.get_data_shape()
        header.get_data_dtype()
    except (HeaderDataError, ValueError, KeyError, TypeError) as error:
        raise Refused("unsafe-file", f"the header cannot be read: {error}") from None
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (slope in (0.0, 1.0) or np.isnan(slope)) or not (intercept == 0 or np.isnan(intercept)):
        raise Refused("wrong-values", f"the header scales the values (slope {slope}, intercept {intercept})")
    return header


def _check_place(header: Any, grid: Grid) -> None:
    try:
        own = make_grid(grid.shape, header.get_best_affine())
    except (BadVolume, HeaderDataError, ValueError) as error:
        raise Refused("wrong-affine", f"no usable affine: {error}") from None
    # one bound for all voxels: where the corners agree, all do
    if apart := difference(grid, own, TOLERANCE_MM):
        raise Refused("wrong-affine", f"asked for {describe(grid)}; {apart.rsplit(': ', 1)[1]} in {describe(own)}")


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
