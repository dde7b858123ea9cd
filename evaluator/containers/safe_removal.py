"""Remove what a model left in its output folder: links, locked folders, thousands of levels."""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

#: name of a folder's default access control list; the version of its format, and then its entries
#: with kind, permissions and user (linux/posix_acl_xattr.h)
DEFAULT_LIST, LIST_VERSION = "system.posix_acl_default", 2
LIST_ENTRY = struct.Struct("<HHI")
OWNER, USER, GROUP, MASK, OTHER, NOBODY = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def discard(folder: Path) -> None:
    """Remove a folder and all in it, as far as the system allows; no link is followed.

    Folders are taken out of their parents and emptied one by one, so that no path grows long and
    nothing recurses.
    """
    with contextlib.suppress(OSError):
        root = _open(str(folder), None)
        try:
            _empty(root)
        finally:
            os.close(root)
        folder.rmdir()


def discard_rest(folder: Path, keep: Collection[Path]) -> None:
    """Remove everything in a folder but some of its entries."""
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if entry in keep:
                continue
            if entry.is_dir() and not entry.is_symlink():
                discard(entry)
            else:
                entry.unlink()


def keep_removable(folder: Path) -> None:
    """Let this user remove what the users of containers will write into a folder.

    Folders that another user makes there could else not be emptied without root. The default access
    control list of the folder names this user; new folders inherit it. A program that makes a
    folder with fewer permissions than usual still keeps others out.
    """
    user = os.getuid()
    if user == 0:
        return
    # a file system without such lists leaves it as it is
    with contextlib.suppress(OSError):
        os.setxattr(folder, DEFAULT_LIST, access_list(user))


def access_list(user: int) -> bytes:
    """The default access control list that gives a user all permissions beside a folder's owner."""
    everything, reading = 0o7, 0o5
    entries = (
        (OWNER, everything, NOBODY),
        (USER, everything, user),
        (GROUP, reading, NOBODY),
        (MASK, everything, NOBODY),
        (OTHER, reading, NOBODY),
    )
    packed = [LIST_ENTRY.pack(*entry) for entry in entries]
    return struct.pack("<I", LIST_VERSION) + b"".join(packed)


def _empty(root: int) -> None:
    token, taken = secrets.token_hex(8), 0
    waiting = [""]
    emptied = []
    while waiting:
        name = waiting.pop()
        here = _open(name, root) if name else root
        try:
            with os.scandir(here) as entries:
                names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for entry, is_folder in names:
                if not is_folder:
                    os.unlink(entry, dir_fd=here)
                    continue
                moved = entry
                if name:
                    os.close(_open(entry, here))  # a locked one cannot be moved
                    taken += 1
                    moved = f"{token}.{taken}"
                    os.rename(entry, moved, src_dir_fd=here, dst_dir_fd=root)
                waiting.append(moved)
        finally:
            if name:
                os.close(here)
                emptied.append(name)
    for name in emptied:
        os.rmdir(name, dir_fd=root)


def _open(name: str, parent: int | None) -> int:
    """A descriptor of a folder, which is unlocked first: whoever owns it may do that."""
    handle = os.open(name, os.O_PATH | FOLDER, dir_fd=parent)
    try:
        with contextlib.suppress(OSError):
            Path(f"/proc/self/fd/{handle}").chmod(0o700)
        return os.open(name, os.O_RDONLY | FOLDER, dir_fd=parent)
    finally:
        os.close(handle)
