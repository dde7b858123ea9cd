"""Archives in the place of a folder: the command that unpacks them.

An archive is not unpacked here (decision 0205). A dataset refers to its image files, so they have
to stay somewhere, and only the user knows where there is room for them.
"""

from __future__ import annotations

import shlex
import zipfile
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: reason for archives among the files of a folder
ARCHIVE_REASON = "an archive; unpack it first"
ZIP, SEVEN_ZIP = (".zip",), (".7z", ".rar")
TAR = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".tar.zst")
SUFFIXES = (*ZIP, *TAR, *SEVEN_ZIP)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def require_folder(path: Path) -> None:
    """Raise UserError, with what to do instead, if a path is no folder."""
    if path.is_dir():
        return
    if not path.exists():
        raise UserError(f"there is no folder {path}")
    if is_archive(path):
        raise UserError(unpack_first(path))
    raise UserError(f"{path} is a file; give the folder that holds the images")


def unpack_first(path: Path) -> str:
    """Say that an archive must be unpacked, with a command that keeps inside of its new folder.

    Python's zipfile and tar leave out ``..`` and the root of paths by themselves.

    Raises:
        UserError: it is a zip file that is damaged or cannot be read.
    """
    folder = shlex.quote(f"./{_stem(path)}")
    archive = shlex.quote(str(path.absolute()))
    name = path.name.lower()
    size = ""
    if name.endswith(ZIP):
        command = f"python3 -m zipfile -e {archive} {folder}"
        size = _zip_size(path)
    elif name.endswith(SEVEN_ZIP):
        command = f"7z x {archive} -o{folder}"
    else:
        command = f"mkdir -p {folder} && tar -xf {archive} -C {folder}"
    return (
        f"{path} is an archive{size}, and images are read where they lie. Unpack it first:\n"
        f"  {command}\n  umd data import {folder} --name NAME"
    )


def archives_text(archives: Sequence[Path]) -> str:
    """What to say of a folder that holds archives only."""
    count = len(archives)
    return f"{counted(count, 'archive')}. {unpack_first(archives[0])}"


def _stem(path: Path) -> str:
    """The name of an archive without its suffix."""
    name = path.name
    suffix = max((text for text in SUFFIXES if name.lower().endswith(text)), key=len)
    return name[: -len(suffix)].strip(". ") or "unpacked"


def _zip_size(path: Path) -> str:
    """Number and size of the files by the archive's own list; nothing is unpacked."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: this archive cannot be read ({error.strerror})") from None
    try:
        with file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    # zipfile checks neither the offsets of a damaged list nor the bytes of its names
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        raise UserError(
            f"{path}: the list of files of this archive cannot be read; it is damaged or "
            "incomplete. Fetch it again, unpack it, and import its folder"
        ) from None
    size = sum(entry.file_size for entry in entries)
    text = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    return f" ({counted(len(entries), 'entry', 'entries')}, {text} when unpacked)"
