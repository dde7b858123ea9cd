"""Start, watch and end the process of an attempt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from evaluator.errors import write_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.challenges.folder import ChallengeFolder, SubmissionFolder
    from evaluator.challenges.queue import Claim

#: how long an attempt may take to remove its containers before it is killed, seconds
GRACE_SECONDS = 30.0

Ended = Literal["by itself", "over time", "not wanted"]


class AttemptProcess:
    """The process of one attempt, in a process group of its own."""

    def __init__(
        self,
        folder: ChallengeFolder,
        submission: SubmissionFolder,
        claim: Claim,
        gpus: str,
        runtime: str = "",
    ) -> None:
        """Start it.

        Args:
            folder: of the challenge.
            submission: that is evaluated.
            claim: of the worker.
            gpus: of the containers.
            runtime: program that starts the containers; empty: the engine's default.

        Raises:
            HostError: its log cannot be written.
        """
        path = submission.attempt_log(claim.job, claim.attempt)
        words = [str(folder.path), submission.id, str(claim.job), str(claim.attempt), gpus, runtime]
        command = [sys.executable, "-m", "evaluator.challenges.attempt", *words]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # an attempt that did not count had the same number
            submission.attempt_path(claim.job, claim.attempt).unlink(missing_ok=True)
            with path.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise write_fault(path, error) from error
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started

    def watch(self, *, most_seconds: float, pause: float, is_wanted: Callable[[], bool]) -> Ended:
        """Wait until it ends, and end it when its time is over or it is not wanted any more.

        Args:
            most_seconds: its time limit.
            pause: between two calls of ``is_wanted``, seconds.
            is_wanted: renews the claim, and says whether it is still held.
        """
        try:
            while True:
                left = most_seconds - self.seconds
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=max(min(pause, left), 0.01))
                    return "by itself"
                if self.seconds >= most_seconds:
                    return "over time"
                if not is_wanted():
                    return "not wanted"
        finally:
            self.end()

    def end(self) -> None:
        """End it and all of its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None and number == signal.SIGTERM:
                continue
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=GRACE_SECONDS)
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()

    @property
    def exit_status(self) -> int | None:
        """Its exit status; negative: the number of the signal that ended it."""
        return self._process.returncode
