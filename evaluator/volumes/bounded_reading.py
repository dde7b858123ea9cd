"""Label maps of unknown origin: header first, voxels only when the grid is known to be wanted, and never more of them.

Reads what ``MaskValidator`` would not (label maps, MHA, NRRD), in this process but with none of a format's own readers: bytes
are counted before they are unpacked, and no file that a header names is opened.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib

from evaluator.errors import VolumeError
from evaluator.types import Failure
from evaluator.volumes.headers import mha_header, nifti_header, nrrd_header
from evaluator.volumes.mask_validation import read_untrusted
from evaluator.volumes.reading import Stored, whole_numbers
from evaluator.volumes.validation_worker import Bounded, RefusedFileError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.volumes.headers import Header
    from zoo_sdk.wire import Grid

#: isal's stubs call its exception an instance
BROKEN: Any = isal_zlib.error

MOST_BYTES = 2**31
"""What the voxels of one file may come to in memory: 512 x 512 x 1024 of 8 bytes."""

MOST_FILE_BYTES = MOST_BYTES + 2**21


class LabelFile:
    """A file's header, and its voxels when they are asked for. Raises VolumeError for one that is not to be believed."""

    def __init__(self, path: Path, *, stranger: bool) -> None:
        """Read the file's bytes; a stranger's must be a regular file of one name, where it seems to be."""
        self.path = path
        self._body = _stranger_bytes(path) if stranger else _own_bytes(path)
        self._stream = Bounded(self._body if path.name.endswith((".nii", ".nii.gz")) else b"")
        self._at = 0
        try:
            self.header = self._read_header()
        except (VolumeError, RefusedFileError, BROKEN) as error:
            raise VolumeError(f"{path}: cannot be read: {error}") from None
        if self.header.bytes > MOST_BYTES:
            raise VolumeError(
                f"{path}: its voxels would take {self.header.bytes} bytes; at most {MOST_BYTES} are read"
            )

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return self.header.grid

    def read(self) -> NDArray[np.integer[Any]]:
        """The labels, (i, j, k) or of an image (i, j), in the file's integer type; raises VolumeError."""
        header = self.header
        try:
            raw = self._voxels(header)
        except (RefusedFileError, BROKEN, EOFError, ValueError) as error:
            raise VolumeError(f"{self.path}: the file is damaged: {error}") from None
        if len(raw) < header.bytes:
            raise VolumeError(
                f"{self.path}: the file is damaged or cut short, {header.bytes - len(raw)} bytes of voxels are missing"
            )
        array = np.frombuffer(raw, dtype=header.dtype).reshape(header.shape, order="F")
        array = array.astype(header.dtype.newbyteorder("="), copy=False)
        return whole_numbers(Stored(array, header.grid, header.slope, header.intercept), self.path)

    def _read_header(self) -> Header:
        name = self.path.name.lower()
        if name.endswith((".nii", ".nii.gz")):
            return nifti_header(self._stream.read)
        if name.endswith((".mha", ".nrrd")):
            header, self._at = (mha_header if name.endswith(".mha") else nrrd_header)(self._body)
            return header
        raise VolumeError(
            "labels are read from .nii, .nii.gz, .mha and .nrrd, header and voxels in one file"
        )

    def _voxels(self, header: Header) -> bytes:
        if self._at == 0:
            raw, more = self._stream.read(header.bytes), self._stream.read(1)
        elif header.packed == "no":
            return self._body[self._at : self._at + header.bytes]
        else:
            unpack: Any = isal_zlib.decompressobj(wbits=31 if header.packed == "gzip" else 15)
            raw = unpack.decompress(memoryview(self._body)[self._at :], header.bytes)
            more = unpack.decompress(unpack.unconsumed_tail, 1)
        # asking for one byte more makes the checksum at the end be looked at
        if more:
            raise ValueError("there is more in it than its header says")
        return raw


def _stranger_bytes(path: Path) -> bytes:
    body = read_untrusted(path, MOST_FILE_BYTES)
    if isinstance(body, Failure):
        raise VolumeError(
            f"{path}: {body.detail}; a prediction must be a file of its own, so copy it there"
        )
    return body


def _own_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise VolumeError(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror}") from None
