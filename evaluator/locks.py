"""File locks between processes: ``flock``, released by the system when the process ends.

Some network file systems have no locks; ``file_lock`` then raises the system's ``OSError`` unless
the lock is optional.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from evaluator.errors import write_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def file_lock(
    path: Path,
    holder: str,
    *,
    shared: bool = False,
    wait: bool = True,
    optional: bool = False,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold a lock on a file, which is created if it does not exist.

    Args:
        path: the lock file; its content names the last holder.
        holder: who takes the lock, written into the file of an exclusive lock.
        shared: several processes may hold a shared lock, but none beside an exclusive one.
        wait: wait for another holder; otherwise raise.
        optional: continue without a lock if the file system has none.
        on_wait: called once with the present holder's name before waiting.

    Raises:
        BlockingIOError: another process holds the lock and ``wait`` is false.
        HostError: the lock file cannot be created.
        OSError: the file system refuses the lock.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _open(path) as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            on_wait(read_holder(path))
            fcntl.flock(lock, kind)
        except OSError as error:
            if not (optional and error.errno in _UNSUPPORTED):
                raise
        if not shared:
            lock.truncate(0)
            lock.write(f"{holder}, process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
        yield


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise write_fault(path, error) from error


def read_holder(path: Path) -> str:
    """The holder that a lock file names; "another process" if it names none."""
    try:
        return path.read_text().strip() or "another process"
    except OSError:
        return "another process"
