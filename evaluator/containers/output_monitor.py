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
    from evaluator.containers.engines import Process

FILES_AT_ONCE = 100_000
LOOK_SECONDS = 0.5


class OutputMonitor:
    """Measures an output folder again and again, and kills the process above the limit."""

    def __init__(self, folder: Path, limit: int, process: Process) -> None:
        self.failure: Failure | None = None
        self._folder, self._limit, self._process = folder, limit, process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
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

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            files, size = _count(self._folder)
            size += self._unlinked()
            if size > self._limit or files > FILES_AT_ONCE:
                self.failure = Failure(
                    status=Status.TOO_LARGE,
                    detail=f"{size} bytes in {files} files in /output, or folders too deep or "
                    f"locked; {self._limit} bytes allowed",
                )
                with contextlib.suppress(
                    HostError
                ):  # whoever reads from the process meets the same
                    self._process.kill()
                return


def _count(folder: Path) -> tuple[int, int]:
    files, size, stack = 0, 0, [folder]
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
