"""Label maps of unknown origin: the header first, then no more voxels than the header declares.

Reads formats that ``MaskValidator`` does not (label maps, MHA, NRRD). It runs in this process but
uses none of a format's usual readers: bytes are counted before they are decompressed, and no file
that a header names is opened.
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
from evaluator.volumes.refused_file import RefusedFileError
from evaluator.volumes.validation_worker import BoundedStream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.volumes.headers import Header
    from zoo_sdk.wire import Grid

#: isal's type stubs declare its exception as an instance
BROKEN: Any = isal_zlib.error

MOST_BYTES = 2**31
"""The most bytes that the voxels of one file may take in memory: 512 x 512 x 1024 of 8 bytes."""

MOST_FILE_BYTES = MOST_BYTES + 2**21


class LabelFile:
    """A file's header, and its voxels when ``read`` is called.

    Raises:
        VolumeError: the file cannot be read or is not valid.
    """

    def __init__(self, path: Path, *, untrusted: bool) -> None:
        """Read the file's bytes and its header.

        Args:
            path: a .nii, .nii.gz, .mha or .nrrd file.
            untrusted: the file must be a regular file with one name, reached without links.
        """
        self.path = path
        self._body = _untrusted_bytes(path) if untrusted else _trusted_bytes(path)
        self._stream = BoundedStream(self._body if path.name.endswith((".nii", ".nii.gz")) else b"")
        self._start = 0
        try:
            self.header = self._read_header()
        except (VolumeError, RefusedFileError, BROKEN) as error:
            raise VolumeError(f"{path}: cannot be read: {error}") from None
        if self.header.bytes > MOST_BYTES:
            raise VolumeError(
                f"{path}: its voxels would take {self.header.bytes} bytes; "
                f"at most {MOST_BYTES} are read"
            )

    @property
    def grid(self) -> Grid:
        """The grid of the voxels."""
        return self.header.grid

    def read(self) -> NDArray[np.integer[Any]]:
        """The labels, (i, j, k) or of an image (i, j), in the file's integer type.

        Raises:
            VolumeError: the file is damaged, or holds other numbers than integers.
        """
        header = self.header
        try:
            raw = self._voxels(header)
        except (RefusedFileError, BROKEN, EOFError, ValueError) as error:
            raise VolumeError(f"{self.path}: the file is damaged: {error}") from None
        if len(raw) < header.bytes:
            missing = header.bytes - len(raw)
            raise VolumeError(
                f"{self.path}: the file is damaged, {missing} bytes of voxels are missing"
            )
        array = np.frombuffer(raw, dtype=header.dtype).reshape(header.shape, order="F")
        array = array.astype(header.dtype.newbyteorder("="), copy=False)
        return whole_numbers(Stored(array, header.grid, header.slope, header.intercept), self.path)

    def _read_header(self) -> Header:
        name = self.path.name.lower()
        if name.endswith((".nii", ".nii.gz")):
            return nifti_header(self._stream.read)
        if name.endswith((".mha", ".nrrd")):
            read_header = mha_header if name.endswith(".mha") else nrrd_header
            header, self._start = read_header(self._body)
            return header
        raise VolumeError(
            "labels are read from .nii, .nii.gz, .mha and .nrrd, header and voxels in one file"
        )

    def _voxels(self, header: Header) -> bytes:
        if self._start == 0:
            raw = self._stream.read(header.bytes)
            excess = self._stream.read(1)
        elif header.packed == "no":
            return self._body[self._start : self._start + header.bytes]
        else:
            unpack: Any = isal_zlib.decompressobj(wbits=31 if header.packed == "gzip" else 15)
            raw = unpack.decompress(memoryview(self._body)[self._start :], header.bytes)
            excess = unpack.decompress(unpack.unconsumed_tail, 1)
        # reading one byte more makes the decompressor verify the checksum at the end
        if excess:
            raise ValueError("it holds more bytes than its header declares")
        return raw


def _untrusted_bytes(path: Path) -> bytes:
    body = read_untrusted(path, MOST_FILE_BYTES)
    if isinstance(body, Failure):
        raise VolumeError(
            f"{path}: {body.detail}; a prediction must be a regular file without links: copy it"
        )
    return body


def _trusted_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise VolumeError(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror}") from None
