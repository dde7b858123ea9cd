"""The worker of ``MaskValidator``: reads untrusted masks in a process that can open no file.

Requests come from standard input: the expected grid as JSON (and format and label, if the file is a
label map), then the file's bytes, each after its length. A reply is a JSON object after its length.
If its status is "ok", it names the box [low, high) that holds the mask, and one byte for each voxel
of the box follows, last index fastest. Most of a whole-body mask is zeros; they are compared once
and never copied.
"""

from __future__ import annotations

import json
import resource
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import TOLERANCE_MM, describe, difference, make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.volumes.mask_validation import LENGTH, NO_MEMORY, SMALLEST_MASK
from evaluator.volumes.mha import inspect_mha
from evaluator.volumes.nifti_header import nifti_affine
from evaluator.volumes.npz_labels import inspect_npz, smallest_npz
from evaluator.volumes.quick_nibabel import HeaderDataError, nibabel
from evaluator.volumes.refused_file import RefusedFileError
from evaluator.volumes.syscall_filter import filter_calls
from zoo_sdk import nifti

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

HEADER_BYTES = 352
MOST_EXTENSION_BYTES = 2**20
MEMORY_BYTES = 16 * 2**30
MOST_MEMBERS = 100_000
#: isal's type stubs declare its exception as an instance
BROKEN: Any = isal_zlib.error
#: bytes that are decompressed and checked at once; they fit into the processor's cache
BLOCK_BYTES = 2**17
ZEROS = bytes(BLOCK_BYTES)
MAGIC = b"\x1f\x8b"
PACKED_ZEROS = nifti.packed_zeros(nifti.MANY_ZEROS)


def main() -> None:
    """Serve requests until the input ends."""
    confine()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while request := _receive(source):
        body = _receive(source)
        expected = json.loads(request)
        try:
            grid = make_grid(expected["shape"], expected["affine"])
            low, voxels = _inspect_any(body, grid, expected["map_label"])
        except RefusedFileError as refused:
            _send(sink, json.dumps({"status": refused.status, "detail": refused.detail}).encode())
        except MemoryError:
            # what a file may take is bounded by its grid, so the machine's limit is too low
            _send(sink, json.dumps({"status": NO_MEMORY, "detail": ""}).encode())
        else:
            high = [int(l) + n for l, n in zip(low, voxels.shape, strict=True)]
            _send(sink, json.dumps({"status": "ok", "low": low, "high": high}).encode())
            sink.write(voxels.tobytes())
        sink.flush()


def _inspect_any(
    body: bytes, grid: Grid, map_label: dict[str, Any] | None
) -> tuple[list[int], NDArray[np.uint8]]:
    if map_label is None:
        return inspect(body, grid)
    if map_label["format"] == "npz":
        return inspect_npz(body, grid, map_label["array"], map_label["label"])
    return inspect_mha(body, grid, map_label["label"])


def confine() -> None:
    """Bound this process's memory, and forbid all that reading bytes from a pipe does not need.

    The limits forbid it to open and enlarge files and to start processes. The filter of system
    calls also holds for root, and keeps it from other processes, where the machine has one.
    """
    # modules that are imported on first use must be imported before files are forbidden
    grid = make_grid((1, 1, 1), np.eye(4))
    inspect(SMALLEST_MASK, grid)
    inspect_npz(smallest_npz("segs"), grid, "segs", 1)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    memory = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for limit in (
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_CORE,
        resource.RLIMIT_NPROC,
        resource.RLIMIT_NOFILE,
    ):
        resource.setrlimit(limit, (0, 0))
    filter_calls()


def inspect(body: bytes, grid: Grid) -> tuple[list[int], NDArray[np.uint8]]:
    """Check a file.

    Returns:
        The first index of the box that holds the mask, and the box's voxels (i, j, k).

    Raises:
        RefusedFileError: the file is not a mask on this grid.
    """
    stream = BoundedStream(body)
    header = _header(stream.read(HEADER_BYTES))
    if (letter := header.get_data_dtype()) != np.uint8:
        raise RefusedFileError("wrong-values", f"voxels are {letter}; a mask is uint8, 0 and 1")
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if shape != grid.shape:
        raise RefusedFileError("wrong-shape", f"shape {shape}, expected {grid.shape}")
    _check_place(header, grid)
    offset = _voxel_offset(header)
    if not HEADER_BYTES <= offset <= HEADER_BYTES + MOST_EXTENSION_BYTES:
        raise RefusedFileError("unsafe-file", f"the header places the voxels at byte {offset}")
    stream.read(offset - HEADER_BYTES)
    blocks = _blocks(stream, int(np.prod(grid.shape, dtype=np.int64)))
    if stream.read(1):
        raise RefusedFileError("too-large", "the file holds more bytes than its header declares")
    return _box(blocks, grid)


def _blocks(stream: BoundedStream, count: int) -> list[tuple[int, bytes]]:
    """The blocks of voxels in which not all are 0, each with its offset.

    Raises:
        RefusedFileError: voxels are missing, or other values than 0 and 1 occur.
    """
    blocks: list[tuple[int, bytes]] = []
    offset = 0
    while offset < count:
        block = stream.read(min(BLOCK_BYTES, count - offset))
        if not block:
            raise RefusedFileError("unsafe-file", f"{count - offset} bytes of voxels are missing")
        if block != ZEROS[: len(block)]:
            voxels = np.frombuffer(block, dtype=np.uint8)
            if voxels.max() > 1:
                values = ", ".join(map(str, np.flatnonzero(np.bincount(voxels))[:8]))
                raise RefusedFileError(
                    "wrong-values", f"values {values}; a mask is 0 and 1, one file a target"
                )
            blocks.append((offset, block))
        offset += len(block)
    return blocks


def _box(blocks: list[tuple[int, bytes]], grid: Grid) -> tuple[list[int], NDArray[np.uint8]]:
    """The tight box about the voxels that are 1, from the slices that the blocks lie in."""
    ni, nj, _ = grid.shape
    if not blocks:
        return [0, 0, 0], np.zeros((0, 0, 0), dtype=np.uint8)
    last_offset, last_block = blocks[-1]
    first = blocks[0][0] // (ni * nj)
    last = (last_offset + len(last_block) - 1) // (ni * nj)
    flat = np.zeros((last - first + 1) * ni * nj, dtype=np.uint8)
    for offset, block in blocks:
        start = offset - first * ni * nj
        flat[start : start + len(block)] = np.frombuffer(block, dtype=np.uint8)
    box = crop_mask(flat.view(np.bool_).reshape((ni, nj, -1), order="F"), grid, (0, 0, first))
    return list(box.offset), box.array.view(np.uint8)


class BoundedStream:
    """The bytes of a file that may be gzip, decompressed only as far as they are read."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._offset = 0
        self._unpack: Any = isal_zlib.decompressobj(wbits=31) if body[:2] == MAGIC else None
        self._packed = self._unpack is not None
        self._rest = b""
        self._members = 1
        self._zeros = 0

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, fewer at the end.

        Raises:
            RefusedFileError: the compressed data are broken.
        """
        if not self._packed:
            return self._take(count)
        parts = []
        try:
            while count and (part := self._next(count)):
                parts.append(part)
                count -= len(part)
        except (zlib.error, BROKEN, EOFError, ValueError) as error:
            raise RefusedFileError(
                "unsafe-file", f"the compressed data are broken: {error}"
            ) from None
        return b"".join(parts)

    def _next(self, count: int) -> bytes:
        """At least one byte and at most ``count``; none at the end."""
        while not self._zeros and self._unpack is not None:
            self._rest = self._rest or self._take(BLOCK_BYTES)
            part: bytes = self._unpack.decompress(self._rest, count)
            self._rest = self._unpack.unconsumed_tail
            if self._unpack.eof:
                self._begin_member(self._unpack.unused_data)
            elif not part and not self._rest and self._offset >= len(self._body):
                raise EOFError("they end too early")
            if part:
                return part
        zeros = min(count, self._zeros, BLOCK_BYTES)
        self._zeros -= zeros
        return ZEROS[:zeros]

    def _begin_member(self, rest: bytes) -> None:
        """Continue with the gzip member that follows the one that has ended, if there is one.

        Members that equal the SDK's compressed zeros are recognised and not decompressed.
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
        return rest if len(rest) >= len(PACKED_ZEROS) else rest + self._take(BLOCK_BYTES)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._body[self._offset : self._offset + count])
        self._offset += count
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


def _voxel_offset(header: Any) -> int:
    """The byte at which the voxels begin; -1 for NaN and infinity, which no file may have."""
    offset = float(header["vox_offset"])
    return int(offset) if np.isfinite(offset) else -1


def _check_place(header: Any, grid: Grid) -> None:
    try:
        file_grid = make_grid(grid.shape, nifti_affine(header))
    except (VolumeError, HeaderDataError, ValueError) as error:
        raise RefusedFileError("wrong-affine", f"no usable affine: {error}") from None
    # one bound serves all voxels: no voxel differs more than the corners
    if mismatch := difference(grid, file_grid, TOLERANCE_MM):
        raise RefusedFileError(
            "wrong-affine",
            f"expected {describe(grid)}; {mismatch.rsplit(': ', 1)[1]} in {describe(file_grid)}",
        )


def _receive(stream: IO[bytes]) -> bytes:
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def _send(stream: IO[bytes], body: bytes) -> None:
    stream.write(LENGTH.pack(len(body)))
    stream.write(body)


if __name__ == "__main__":
    main()
