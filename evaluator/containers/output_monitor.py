"""Monitors how much a model writes, and stops one that writes too much."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import HostError
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.containers.engines import Process

FILES_AT_ONCE = 100_000
LOOK_SECONDS = 0.5
#: a file system for a limit of a few bytes is at least so large
SMALL_BYTES = 2**28


class OutputMonitor:
    """Measures an output folder again and again, and kills the process above the limit.

    A folder on a file system of limited size (``limited_output``) is above the limit when that is
    full. A folder that is kept over rounds (``cache``) counts, too.
    """

    def __init__(
        self, folder: Path, limit: int, process: Process, *, cache: Path | None = None
    ) -> None:
        self.failure: Failure | None = None
        self._folder, self._limit, self._process = folder, limit, process
        self._folders = [folder, *([cache] if cache else [])]
        self._stop, self._looking = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._look_again, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _unlinked(self) -> int:
        """Bytes of files that the model holds open without a name."""
        try:
            return self._process.unlinked_bytes(self._folder.stat().st_dev)
        except (OSError, HostError):  # whoever reads from the process meets the same
            return 0

    def look(self) -> Failure | None:
        """Measure now; the failure if the model has written too much, and the process is killed.

        Called before an answer is accepted, so a request that wrote too much is not answered.
        """
        return self._look(unlinked=_is_nearly_full(self._folder, self._limit))

    def _look(self, *, unlinked: bool) -> Failure | None:
        with self._looking:
            if self.failure:
                return self.failure
            files, size = _count(self._folders)
            if unlinked and size <= self._limit:
                size += self._unlinked()
            if size <= self._limit and files <= FILES_AT_ONCE:
                return None
            self.failure = Failure(
                status=Status.TOO_LARGE,
                detail=f"{size} bytes in {files} files in /output, or folders too deep or locked; "
                f"{self._limit} bytes allowed",
            )
            # whoever reads from the process meets the same
            with contextlib.suppress(HostError):
                self._process.kill()
            return self.failure

    def _look_again(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            if self._look(unlinked=True):
                return


def _is_nearly_full(folder: Path, limit: int) -> bool:
    """Whether a folder lies on a file system of limited size that holds more than the limit.

    Files without a name then matter. To find them takes several milliseconds.
    """
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    size, free = status.f_blocks * status.f_frsize, status.f_bfree * status.f_frsize
    return size < 2 * limit + SMALL_BYTES and size - free > limit


def _count(folders: Sequence[Path]) -> tuple[int, int]:
    files, size, stack = 0, 0, list(folders)
    while stack and files <= FILES_AT_ONCE:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    files += 1
                    # a file may vanish between the list and the look at it; the others count
                    with contextlib.suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(Path(entry.path))
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
                # nobody nests folders so deep, or locks them, but to hide something
                return FILES_AT_ONCE + 1, size
            continue  # a folder that went away
    return files, size
