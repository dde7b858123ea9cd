"""Compute the limits of finished cases in another process, while the model answers."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

#: a shorter run computes its limits at its end, without a further process, s
AFTER_SECONDS = 30.0
WORKER = "evaluator.limits.limits_worker"


class BackgroundLimits:
    """The process that computes limits; it begins when the run has taken ``AFTER_SECONDS``.

    A failure of the process costs nothing: what is missing is computed at the end of the run.
    """

    def __init__(self, run: Path, scans: Mapping[str, int]) -> None:
        """``scans``: the number of scans of each case that end in the present process."""
        self._run, self._began = run, time.monotonic()
        self._left = dict(scans)
        self._lock = threading.Lock()
        self._cases: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._worker: subprocess.Popen[str] | None = None
        self._writer: threading.Thread | None = None
        self._failed = False

    def __enter__(self) -> Self:
        """Nothing begins yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process at once; ``finish`` waits for it."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
        self._cases.put(None)
        if self._writer is not None:
            self._writer.join()

    def scan_ended(self, case: str) -> None:
        """Compute the limits of the case if this was its last scan."""
        with self._lock:
            self._left[case] = self._left.get(case, 0) - 1
            if self._left[case] == 0:
                self._cases.put(case)
            late = time.monotonic() - self._began >= AFTER_SECONDS
            if late and self._worker is None and not self._failed:
                self._start()

    def finish(self) -> None:
        """Wait until the limits of all cases that have ended are computed."""
        if self._worker is None:
            return
        self._cases.put(None)
        if self._writer is not None:
            self._writer.join()
        self._worker.wait()

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", WORKER, str(self._run)]
        try:
            self._worker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            logger.info("floors and ceilings are computed at the end of the run: %s", error)
            self._failed = True
            return
        # a full pipe makes this thread wait, and no other one
        self._writer = threading.Thread(target=self._write, name="limits", daemon=True)
        self._writer.start()

    def _write(self) -> None:
        assert self._worker is not None
        assert self._worker.stdin is not None
        try:
            with self._worker.stdin as pipe:
                while (case := self._cases.get()) is not None:
                    pipe.write(f"{case}\n")
                    pipe.flush()
        except OSError:  # the worker has ended
            return
