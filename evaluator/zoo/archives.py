"""Archives of weights: unpacked with a record of what they held, so that the folder can be checked later without the archive."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import HostError, ModelPartsError
from evaluator.files import read_json
from evaluator.zoo.download import file_sha256
from evaluator.zoo.sources import UNVERIFIED

if TYPE_CHECKING:
    from evaluator.zoo.sources import Download

UNPACKED = ".unpacked.json"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip to a folder, which is replaced when all of it is there.

    Raises ModelPartsError for one that is broken or would write outside, HostError on a full disk.
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
        made = Path(temporary, "content")
        _extract(archive, made)
        files = {
            str(path.relative_to(made)): file_sha256(path)
            for path in sorted(made.rglob("*"))
            if path.is_file()
        }
        record = {"sha256": file_sha256(archive), "files": files}
        (made / UNPACKED).write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def check_unpacked(folder: Path, one: Download) -> str:
    """The sha256 of the archive that a folder was unpacked from; raises ModelPartsError if a file is not as it was then."""
    path = folder / UNPACKED
    if not path.is_file():
        raise ModelPartsError(f"{folder} is not there, or was not unpacked by umd models fetch")
    known = read_json(path)
    if one.sha256 not in (UNVERIFIED, known["sha256"]):
        raise ModelPartsError(
            f"{folder} comes from an archive of sha256 {known['sha256']}; sources.toml says {one.sha256}"
        )
    for name, sha256 in known["files"].items():
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256:
            raise ModelPartsError(
                f"{folder / name} is not as it was unpacked; remove {folder} and fetch again"
            )
    return str(known["sha256"])


def _extract(archive: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                if Path(name).is_absolute() or ".." in Path(name).parts:
                    raise ModelPartsError(
                        f"{archive.name} holds the path {name!r}, which would leave its folder; not unpacked"
                    )
            into.mkdir()
            content.extractall(into)
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ModelPartsError(
            f"{archive} is no zip archive that can be unpacked ({error}); remove it and fetch again"
        ) from None
