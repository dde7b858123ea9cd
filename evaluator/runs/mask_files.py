"""The masks of a run: one zip archive for each scan, which is written when the scan is done.

``masks/<case>/<modality>.zip`` holds ``s<seed>/r<round>/<target>.nii.gz`` without further
compression, so any program that opens zip archives reads the masks. An archive gets its name when
it is complete and on the disk, before the scan's record is written. Until then the scan has no
record, so it is predicted again after a kill.

A mask is named by its path with the folder of the archive's name:
``masks/<case>/<modality>/s<seed>/r<round>/<target>.nii.gz``. Runs that were made before 2026-11-29
have a file of this path. They are read, and never written.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import struct
import zipfile
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from evaluator.errors import VolumeError, write_fault
from evaluator.files import current_sha256, file_sha256, file_state, safe_name, write_bytes
from evaluator.imaging.grid_masks import crop_mask
from evaluator.runs.records import MaskFile
from evaluator.volumes import labels_of_nifti, pack_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.files import FileState
    from evaluator.imaging.grid_masks import GridMask
    from zoo_sdk.wire import Grid

#: masks of one scan that are kept in memory until they are written, bytes
MOST_IN_MEMORY = 2**26
#: no archive depends on when it was written
NO_TIME = (1980, 1, 1, 0, 0, 0)
#: zipfile checks neither offsets, which may be negative or above 2**63, nor the bytes of names
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip
#: bytes of a member's header, without its name and its further fields
MEMBER_HEADER = 30


class MaskFiles:
    """The masks of one run folder."""

    def __init__(self, folder: Path) -> None:
        """``folder``: the run's."""
        self._folder = folder

    @staticmethod
    def name(case: str, modality: str, *, seed: int, round_number: int, target: str) -> str:
        """The name of one target's mask, as records have it."""
        member = f"s{seed}/r{round_number}/{safe_name(target)}.nii.gz"
        return f"masks/{safe_name(case)}/{modality}/{member}"

    def content(self, name: str) -> bytes:
        """The bytes of one mask's ``.nii.gz`` file.

        Raises:
            VolumeError: the mask is missing, or its archive is damaged.
        """
        archive, member = self._place(name)
        try:
            if archive.is_file():
                entry = _members(archive, file_state(archive)).get(member)
                if entry is not None:
                    return _member_content(archive, entry)
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise VolumeError(f"{self._folder / name}: cannot be read: {error.strerror}") from None
        except DAMAGED as error:
            raise VolumeError(f"{archive}: {member} cannot be read: {error}") from None

    def read(self, name: str) -> tuple[NDArray[Any], Grid]:
        """One mask, (i, j, k) of integers, and its grid; raises VolumeError."""
        return labels_of_nifti(self.content(name), self._folder / name)

    def read_mask(self, name: str) -> GridMask:
        """One mask, cropped; raises VolumeError."""
        return crop_mask(*self.read(name))

    def extract(self, name: str, folder: Path) -> Path:
        """Write one mask to ``folder/NAME``; returns the file.

        Raises:
            VolumeError: the mask is missing, or its archive is damaged.
            HostError: the file cannot be written.
        """
        file = folder / name
        write_bytes(file, self.content(name))
        return file

    def problems(self, masks: Iterable[MaskFile], *, trusted: bool) -> Mapping[str, str]:
        """The masks that are missing or differ from what was written: name -> how.

        Args:
            masks: as the records have them.
            trusted: do not hash a file again while its size, times and inode are the same.
        """
        problems = {}
        archives: dict[Path, Mapping[str, str] | str] = {}
        for mask in masks:
            archive, member = self._place(mask.file)
            if archive not in archives:
                archives[archive] = _hashes_or_problem(archive, trusted=trusted)
            hashes = archives[archive]
            if isinstance(hashes, str):
                problem = hashes
            elif member in hashes:
                problem = "" if hashes[member] == mask.sha256 else "the mask has another hash"
            else:
                problem = _file_problem(self._folder / mask.file, mask.sha256, trusted=trusted)
            if problem:
                problems[mask.file] = problem
        return problems

    def writer(self, case: str, modality: str) -> MaskWriter:
        """Takes the masks of one scan while it is evaluated."""
        return MaskWriter(self._folder, case, modality)

    def _place(self, name: str) -> tuple[Path, str]:
        """The archive of a mask, and the mask's name in it."""
        parts = PurePosixPath(name).parts
        archive = self._folder / f"{'/'.join(parts[:3])}.zip"
        return archive, "/".join(parts[3:])


class MaskWriter:
    """Takes the masks of one scan, and writes them as one archive."""

    def __init__(self, folder: Path, case: str, modality: str) -> None:
        """``folder``: the run's."""
        self._case, self._modality = case, modality
        self._archive = folder / "masks" / safe_name(case) / f"{modality}.zip"
        # process ids of two machines may be equal
        token = secrets.token_hex(6)
        self._part = self._archive.with_name(f".{self._archive.name}.{token}.part")
        self._waiting: list[tuple[str, bytes]] = []
        self._begun = False

    def add(self, mask: GridMask, *, seed: int, round_number: int, target: str) -> MaskFile:
        """Take one mask; it is written with the others.

        Raises:
            HostError: the masks are too many to wait in memory, and cannot be written.
        """
        name = MaskFiles.name(
            self._case, self._modality, seed=seed, round_number=round_number, target=target
        )
        packed = pack_mask(mask)
        self._waiting.append(("/".join(PurePosixPath(name).parts[3:]), packed))
        if sum(len(content) for _, content in self._waiting) > MOST_IN_MEMORY:
            self._append()
        return MaskFile(
            file=name, sha256=hashlib.sha256(packed).hexdigest(), voxels=mask.voxel_count
        )

    def write(self) -> None:
        """Write the archive, if there is a mask; call it before the scan's record is written.

        Raises:
            HostError: the archive cannot be written.
        """
        if self._waiting:
            self._append()
        if not self._begun:
            return
        try:
            with self._part.open("rb") as file:
                os.fsync(file.fileno())
            self._part.replace(self._archive)
        except OSError as error:
            raise write_fault(self._archive, error) from error

    def remove_earlier(self) -> None:
        """Remove masks of an earlier record of the scan, once the new record is written."""
        shutil.rmtree(self._archive.with_suffix(""), ignore_errors=True)
        if not self._begun:
            self._archive.unlink(missing_ok=True)

    def _append(self) -> None:
        """Move the masks from memory to the unfinished archive."""
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            # an unfinished archive that somebody removed is missed, and not begun anew
            with (
                self._part.open("r+b" if self._begun else "xb") as file,
                zipfile.ZipFile(file, "a" if self._begun else "w") as archive,
            ):
                for member, content in self._waiting:
                    archive.writestr(zipfile.ZipInfo(member, NO_TIME), content)
        except OSError as error:
            with suppress(OSError):
                self._part.unlink()
            raise write_fault(self._archive, error) from error
        self._begun = True
        self._waiting.clear()


@lru_cache(maxsize=64)
def _members(archive: Path, _state: FileState) -> Mapping[str, zipfile.ZipInfo]:
    """The members of an archive by name, read once for each state of the file."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return {entry.filename: entry for entry in opened.infolist()}
    except DAMAGED as error:
        raise VolumeError(f"{archive}: cannot be read: {error}") from None


def _member_content(archive: Path, entry: zipfile.ZipInfo) -> bytes:
    """The content of one member; ``zipfile`` would read the whole index for each."""
    if entry.compress_type != zipfile.ZIP_STORED:  # somebody packed it anew
        with zipfile.ZipFile(archive) as opened:
            return opened.read(entry.filename)
    with archive.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<HH", file.read(MEMBER_HEADER)[-4:])
        file.seek(name + extra, io.SEEK_CUR)
        content = file.read(entry.file_size)
    if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
        raise zipfile.BadZipFile("its checksum differs")
    return content


def _hashes_or_problem(archive: Path, *, trusted: bool) -> Mapping[str, str] | str:
    """The sha256 of each member, none where there is no archive; or why it cannot be read."""
    try:
        state = file_state(archive)
        return _hashes(archive, state) if trusted else _hashes.__wrapped__(archive, state)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return error.strerror or type(error).__name__
    except DAMAGED as error:
        return f"the archive is damaged: {error}"


@lru_cache(maxsize=16384)
def _hashes(archive: Path, _state: FileState) -> Mapping[str, str]:
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as opened:
        return {
            entry.filename: hashlib.sha256(opened.read(entry)).hexdigest()
            for entry in opened.infolist()
        }


def _file_problem(path: Path, sha256: str, *, trusted: bool) -> str:
    """How the file of an older run differs from what was written; empty: it does not."""
    try:
        present = current_sha256(path) if trusted else file_sha256(path)
    except OSError as error:
        return error.strerror or type(error).__name__
    return "" if present == sha256 else "the mask has another hash"
