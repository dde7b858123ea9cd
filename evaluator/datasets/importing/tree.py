"""Walk a tree of strangers: links are followed once, and what cannot be read is named."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN_FILE = "a hidden file, which is not read; macOS writes a ._ file beside each file"
HIDDEN_FOLDER = "a hidden folder, which is not read"
BROKEN_LINK = "a link to a file or folder that does not exist"
NOT_FETCHED = "a link to content that was not fetched; run git annex get, or datalad get"
CIRCLE = "a link that leads in a circle"
ABOVE = "a link to a folder that contains this one"
READ_ALREADY = "a link to a folder that is read in another place of the tree"
NO_FILE = "neither a file nor a folder"
FOLDER = "a folder"
#: part of the path of a link into the store of git-annex
ANNEX = "annex/objects/"

#: device and inode of a folder
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a tree, or what cannot be read."""

    #: relative to the tree, with "/" between its parts
    path: str
    #: why it cannot be read; empty for a file. It holds no path.
    problem: str = ""
    #: bytes
    size: int = -1
    #: time of the last change, nanoseconds
    changed: int = 0


@dataclass(frozen=True, slots=True)
class _Linked:
    """A link to a folder, which is followed when all real folders were read."""

    path: str
    identity: Identity


def walk_tree(root: Path, *, with_folders: bool = False) -> Iterator[TreeEntry]:
    """All files of a tree, and what cannot be read.

    A folder is read once, however many links lead to it, and in its real place if that is within
    the tree. So a circle of links ends.

    Args:
        root: the folder.
        with_folders: a folder is an entry, too, with the problem ``FOLDER``.

    Yields:
        Files and problems, folder by folder in the order of names. A folder that cannot be listed
        is one entry. Hidden files and folders are entries with a problem.
    """
    above = {_identity(folder.stat()) for folder in root.resolve().parents}
    read: set[Identity] = set()
    pending, links = [""], list[_Linked]()
    while pending or links:
        if not pending:
            link = links.pop(0)
            if link.identity in read:
                yield TreeEntry(link.path, READ_ALREADY)
                continue
            pending.append(link.path)
        folder = pending.pop()
        try:
            identity = _identity((root / folder).stat())
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            yield TreeEntry(folder or ".", unreadable(error))
            continue
        if identity in read:
            yield TreeEntry(folder, READ_ALREADY)
            continue
        read.add(identity)
        folders = []
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            found = _look_at(entry, relative, above)
            if with_folders and not isinstance(found, TreeEntry):
                yield TreeEntry(relative, FOLDER)
            if isinstance(found, _Linked):
                links.append(found)
            elif found is None:
                folders.append(relative)
            else:
                yield found
        pending += reversed(folders)


def unreadable(error: OSError) -> str:
    """Why a file or folder cannot be read, without its path."""
    if error.errno == errno.ELOOP:
        return CIRCLE
    return f"it cannot be read: {error.strerror}"


def _look_at(
    entry: os.DirEntry[str], path: str, above: set[Identity]
) -> TreeEntry | _Linked | None:
    """What an entry of a folder is; None for a folder."""
    try:
        is_hidden = entry.name.startswith(".")
        if entry.is_dir(follow_symlinks=False):
            return TreeEntry(path, HIDDEN_FOLDER) if is_hidden else None
        if is_hidden:
            return TreeEntry(path, HIDDEN_FILE)
        status = entry.stat()
    except OSError as error:
        return TreeEntry(path, _without_target(entry, error))
    if stat.S_ISDIR(status.st_mode):
        identity = _identity(status)
        return TreeEntry(path, ABOVE) if identity in above else _Linked(path, identity)
    if not stat.S_ISREG(status.st_mode):
        return TreeEntry(path, NO_FILE)
    return TreeEntry(path, "", status.st_size, status.st_mtime_ns)


def _without_target(entry: os.DirEntry[str], error: OSError) -> str:
    """Why an entry has no state."""
    if error.errno != errno.ENOENT or not entry.is_symlink():
        return unreadable(error)
    try:
        target = str(Path(entry.path).readlink())
    except OSError:
        return BROKEN_LINK
    return NOT_FETCHED if ANNEX in target else BROKEN_LINK


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
