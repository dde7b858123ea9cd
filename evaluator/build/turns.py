"""Turns at making what several processes may want at once: one makes it, the others wait and find it there."""

from __future__ import annotations

import errno
import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def turn(lock: Path, say: Callable[[str], None], what: str) -> Iterator[None]:
    """Hold the file ``lock``; ``what`` (``builds an image``) is told if another process holds it. It ends with the process.

    On a file system without locks, as some clusters' are, nobody waits: what is made twice is made alike.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another umd, which {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        yield
