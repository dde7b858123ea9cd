"""One reader for all volumes: the header first, then no more voxels than the header declares.

``umd score`` opens predictions of unknown origin with it, ``umd run`` and ``umd data verify`` the
user's images and references. It uses none of a format's usual readers: bytes are counted before
they are decompressed, and a file that a header names is opened for the user's own files alone.
"""

from __future__ import annotations

import stat
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import VolumeError
from evaluator.types import Failure
from evaluator.volumes.label_values import Stored, whole_numbers
from evaluator.volumes.mask_validation import read_untrusted
from evaluator.volumes.metaimage_header import metaimage_header
from evaluator.volumes.nifti_header import nifti_header
from evaluator.volumes.nrrd_header import nrrd_header
from evaluator.volumes.refused_file import RefusedFileError
from evaluator.volumes.validation_worker import BoundedStream
from evaluator.volumes.voxel_decoding import BROKEN, decoded, unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.volumes.headers import Header
    from zoo_sdk.wire import Grid


NIFTI = (".nii", ".nii.gz")
METAIMAGE = (".mha", ".mhd")
NRRD = (".nrrd", ".nhdr")
DICOM_HINT = ". DICOM studies become a dataset: umd data import FOLDER --layout dicom --name NAME"
SUFFIXES = (".nii.gz", ".nii", *METAIMAGE, *NRRD)

MOST_BYTES = 2**31
"""The most bytes that the voxels of an untrusted file may take: 512 x 512 x 1024 of 8 bytes."""

MOST_TRUSTED_BYTES = 2**36
MOST_FILE_BYTES = MOST_BYTES + 2**26


FIRST_BYTES = 2**20
"""Bytes that are read for a header; more only where the header needs more."""


class VolumeFile:
    """A file's header, and its voxels when they are read.

    Raises:
        VolumeError: the file cannot be read or is not valid.
    """

    def __init__(self, path: Path, *, untrusted: bool, content: bytes | None = None) -> None:
        """Read the file's header.

        Args:
            path: a .nii, .nii.gz, .mha or .nrrd file; if it is trusted also .mhd or .nhdr.
            untrusted: the file must be a regular file with one name, reached without links, that
                holds its voxels itself.
            content: the file's bytes, where they lie in an archive; None: they are read.
        """
        self.path = path
        self._untrusted = untrusted
        self._check_suffix()
        if content is None:
            self._body = _untrusted_bytes(path) if untrusted else _first_bytes(path)
        else:
            self._body = content
        self._complete = untrusted or content is not None or len(self._body) < FIRST_BYTES
        try:
            self.header = self._read_header()
        except (VolumeError, RefusedFileError, BROKEN) as error:
            if self._complete:
                raise VolumeError(f"{path}: cannot be read: {error}") from None
            self._read_all()
            self.header = self._header_of_all()
        self._check_header()

    @property
    def grid(self) -> Grid:
        """The grid of the voxels, in millimetres."""
        return self.header.grid

    def read_labels(self) -> NDArray[np.integer[Any]]:
        """The labels, (i, j, k) or of an image (i, j), in the file's integer type.

        Raises:
            VolumeError: the file is damaged, or holds other numbers than integers.
        """
        return whole_numbers(self.read_stored(), self.path)

    def read_stored(self) -> Stored:
        """The stored numbers in this machine's byte order, (i, j, k) or of an image (i, j).

        Raises:
            VolumeError: the file is damaged.
        """
        header = self.header
        try:
            raw = self._voxels(header)
        except (RefusedFileError, BROKEN, EOFError, OSError, ValueError, zlib.error) as error:
            raise VolumeError(f"{self.path}: the file is damaged: {error}") from None
        if len(raw) < header.bytes:
            missing = header.bytes - len(raw)
            raise VolumeError(
                f"{self.path}: the file is damaged, {missing} bytes of voxels are missing"
            )
        array = np.frombuffer(raw, dtype=header.dtype).reshape(header.shape, order="F")
        array = array.astype(header.dtype.newbyteorder("="), copy=False)
        return Stored(array, header.grid, header.slope, header.intercept)

    def _check_suffix(self) -> None:
        name = self.path.name.lower()
        if name.endswith(SUFFIXES) and not (self._untrusted and name.endswith((".mhd", ".nhdr"))):
            return
        if self._untrusted:
            raise VolumeError(
                f"{self.path}: cannot be read: labels are read from .nii, .nii.gz, .mha and .nrrd, "
                "header and voxels in one file"
            )
        raise VolumeError(
            f"{self.path}: not a supported volume format; supported are {', '.join(SUFFIXES)}"
            + (DICOM_HINT if name.endswith(".dcm") else "")
        )

    def _read_header(self) -> Header:
        if not self._body:
            raise VolumeError("the file is empty")
        name = self.path.name.lower()
        if name.endswith(NIFTI):
            return nifti_header(BoundedStream(self._body).read)
        return metaimage_header(self._body) if name.endswith(METAIMAGE) else nrrd_header(self._body)

    def _header_of_all(self) -> Header:
        try:
            return self._read_header()
        except (VolumeError, RefusedFileError, BROKEN) as error:
            raise VolumeError(f"{self.path}: cannot be read: {error}") from None

    def _check_header(self) -> None:
        header = self.header
        if header.data_file and self._untrusted:
            raise VolumeError(
                f"{self.path}: cannot be read: its voxels lie in another file; write one file"
            )
        most = MOST_BYTES if self._untrusted else MOST_TRUSTED_BYTES
        if header.bytes > most:
            raise VolumeError(
                f"{self.path}: its voxels would take {header.bytes} bytes; at most {most} are read"
            )
        if self._untrusted and header.dtype.itemsize > 8:
            raise VolumeError(f"{self.path}: voxels of type {header.dtype} are not labels")

    def _read_all(self) -> None:
        if not self._complete:
            self._body = _trusted_bytes(self.path)
            self._complete = True

    def _voxels(self, header: Header) -> bytes | memoryview:
        self._read_all()
        if self.path.name.lower().endswith(NIFTI):
            return self._nifti_voxels(header)
        if not header.data_file:
            return decoded(header, self._body)
        if _is_plain_name(header.data_file):
            return decoded(header, _trusted_bytes(self.path.parent / header.data_file))
        return _by_itk(self.path, header)

    def _nifti_voxels(self, header: Header) -> bytes | memoryview:
        start = header.start or 0
        if not self._untrusted:
            content = unpacked(self._body)
            if content is not None:
                return memoryview(content)[start : start + header.bytes]
        stream = BoundedStream(self._body)
        stream.read(start)
        raw = stream.read(header.bytes)
        # reading one byte more makes the decompressor verify the checksum at the end
        if stream.read(1) and self._untrusted:
            raise ValueError("it holds more bytes than its header declares")
        return raw


class LabelFile(VolumeFile):
    """A file of labels."""

    def read(self) -> NDArray[np.integer[Any]]:
        """The labels; see ``VolumeFile.read_labels``."""
        return self.read_labels()


def _by_itk(path: Path, header: Header) -> bytes:
    """The voxels of a header that names several files."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(str(error).strip().splitlines()[-1]) from None
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() != 1 or array.size != np.prod(header.shape):
        raise ValueError(f"its files hold {array.size} numbers, expected are {header.shape}")
    return array.astype(header.dtype).tobytes()


def _is_plain_name(data_file: str) -> bool:
    """Whether a header names one file: not a list, and not a pattern with numbers."""
    return not data_file.upper().startswith("LIST") and "%" not in data_file


def _untrusted_bytes(path: Path) -> bytes:
    body = read_untrusted(path, MOST_FILE_BYTES)
    if isinstance(body, Failure):
        raise VolumeError(
            f"{path}: {body.detail}; a prediction must be a regular file without links: copy it"
        )
    return body


def _first_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise VolumeError(f"{path}: not a regular file")
        with path.open("rb") as file:
            return file.read(FIRST_BYTES)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror}") from None


def _trusted_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror}") from None
