"""Archives of weights: unpacked with a record of their files, for later checks of the folder."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import HostError, ModelFilesError
from evaluator.files import file_sha256, read_json
from evaluator.zoo.sources import UNVERIFIED

if TYPE_CHECKING:
    from evaluator.zoo.sources import Download

UNPACKED = ".unpacked.json"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive to a folder; an existing folder is replaced once all files are written.

    Raises:
        ModelFilesError: the archive is damaged, or would write outside of the folder.
        HostError: the disk is full.
    """
    try:
        _unpack(archive, folder)
    except OSError as error:
        raise HostError(
            f"{archive.name} could not be unpacked: {error.strerror}; free some space and run again"
        ) from error


def _unpack(archive: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        content = Path(temporary, "content")
        _extract(archive, content)
        files = {
            str(path.relative_to(content)): file_sha256(path)
            for path in sorted(content.rglob("*"))
            if path.is_file()
        }
        record = {"sha256": file_sha256(archive), "files": files}
        (content / UNPACKED).write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        content.rename(folder)


def check_unpacked(folder: Path, source: Download) -> str:
    """Check a folder of unpacked files against its record.

    Returns:
        the sha256 of the archive that it was unpacked from.

    Raises:
        ModelFilesError: a file is missing or was changed, or the archive is not the pinned one.
    """
    path = folder / UNPACKED
    if not path.is_file():
        raise ModelFilesError(f"{folder} does not exist, or was not unpacked by umd models fetch")
    record = read_json(path)
    if source.sha256 not in (UNVERIFIED, record["sha256"]):
        raise ModelFilesError(
            f"{folder} comes from an archive with sha256 {record['sha256']}; "
            f"sources.toml expects {source.sha256}"
        )
    for name, sha256 in record["files"].items():
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256:
            raise ModelFilesError(
                f"{folder / name} was changed after unpacking; remove {folder} and fetch again"
            )
    return str(record["sha256"])


def _extract(archive: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                if Path(name).is_absolute() or ".." in Path(name).parts:
                    raise ModelFilesError(
                        f"{archive.name} contains the path {name!r}, which would leave its folder; "
                        "it was not unpacked"
                    )
            into.mkdir()
            content.extractall(into)
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ModelFilesError(
            f"{archive} is not a readable zip archive ({error}); remove it and fetch again"
        ) from None
