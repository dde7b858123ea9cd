"""Archives of weights for registered images, unpacked to the folder that is mounted.

Grand Challenge keeps a model's weights apart from its image: a tar file, which is unpacked to
``/opt/ml/model``. The archive is known by its sha256. Its files lie in the cache and can be removed
there at any time; the archive is then unpacked again.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import HostError, ModelFilesError, write_fault
from evaluator.files import DAMAGED_TAR, file_sha256, read_json, write_json
from evaluator.zoo.build_lock import build_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

#: free disk that is left alone, bytes
SPARE_BYTES = 2**30
#: an archive with more members is refused
MOST_MEMBERS = 100_000
READ_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsArchive:
    """A tar file of weights, by its content."""

    path: Path
    sha256: str

    @property
    def folder(self) -> Path:
        """Where the files are, or will be."""
        return paths.cache() / "weights" / self.sha256 / "model"

    @property
    def record(self) -> Path:
        """A file that exists when all is unpacked; it holds the number of files and bytes."""
        return self.folder.parent / "unpacked.json"


def read_archive(path: Path) -> WeightsArchive:
    """The archive at a path.

    Raises:
        ModelFilesError: there is no such file, or it is no tar file.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ModelFilesError(
            f"{path} is not a file; --weights-archive names a tar file of weights"
        )
    try:
        with tarfile.open(path) as archive:
            archive.next()
    except (*DAMAGED_TAR, OSError) as error:
        raise ModelFilesError(f"{path} is not a tar file ({error})") from None
    return WeightsArchive(path=path, sha256=file_sha256(path))


def ensure_unpacked(archive: WeightsArchive) -> Path:
    """The folder with the archive's files, unpacked unless that was done before.

    Raises:
        ModelFilesError: the archive is missing, was changed, is damaged, or contains something
            that must not be unpacked: a link or path that leaves the folder, a device, a pipe.
        HostError: the disk is too small or cannot be written.
    """
    with build_lock(archive.folder.parent.with_suffix(".lock"), "unpacks weights"):
        if not _is_complete(archive):
            _unpack(archive)
    return archive.folder


def _is_complete(archive: WeightsArchive) -> bool:
    if not archive.record.is_file():
        return False
    return bool(read_json(archive.record) == _contents(archive.folder))


def _contents(folder: Path) -> dict[str, int]:
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _unpack(archive: WeightsArchive) -> None:
    if not archive.path.is_file():
        raise ModelFilesError(
            f"the weights {archive.path} are missing; put the file there, or register the model "
            "again with --weights-archive"
        )
    if (sha256 := file_sha256(archive.path)) != archive.sha256:
        raise ModelFilesError(
            f"{archive.path} was changed: its sha256 is {sha256}, and {archive.sha256} was "
            "registered. Register it under another name: umd models add"
        )
    place = archive.folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as temporary:
            folder = Path(temporary, "model")
            folder.mkdir()
            _extract(archive.path, folder)
            _open_to_all(folder)
            shutil.rmtree(archive.folder, ignore_errors=True)
            folder.rename(archive.folder)
        write_json(archive.record, _contents(archive.folder))
    except OSError as error:
        raise write_fault(place, error) from error


def _extract(path: Path, folder: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            for member in _bounded(archive, path, folder):
                archive.extract(member, folder, filter="data")
            # a compressed file has its checksum at its end, which tarfile does not read
            while archive.fileobj and archive.fileobj.read(READ_BYTES):
                pass
    except tarfile.FilterError as error:
        raise ModelFilesError(
            f"{path.name} contains something that must not be unpacked: {error}"
        ) from None
    except (*DAMAGED_TAR, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        raise ModelFilesError(f"{path} is damaged ({error}); get the file again") from None


def _bounded(archive: tarfile.TarFile, path: Path, folder: Path) -> Iterator[tarfile.TarInfo]:
    """The members, as long as the disk holds them."""
    room = shutil.disk_usage(folder).free - SPARE_BYTES
    for number, member in enumerate(archive, 1):
        room -= member.size
        if room < 0:
            raise HostError(
                f"{path.name} does not fit on the disk of {folder.parents[1]}; free some space, or "
                "choose another folder with UMD_CACHE"
            )
        if number > MOST_MEMBERS:
            raise ModelFilesError(f"{path.name} contains more than {MOST_MEMBERS} files")
        yield member


def _open_to_all(folder: Path) -> None:
    """Let every user read, as the image's user is another one."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() else (path.stat().st_mode & 0o111) | 0o644)
