"""A program of this machine as a model's process: its lines, its log, and its end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING

from evaluator.containers.engines.process_output import (
    Lines,
    peak_memory_of,
    unlinked_bytes_of,
)
from evaluator.containers.engines.spec import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from evaluator.containers.engines.process_output import LogFile
    from evaluator.containers.engines.spec import Mode


class PipedProcess:
    """A subprocess in a process group of its own, which is killed as a whole."""

    def __init__(
        self,
        argv: Sequence[str],
        log: LogFile,
        mode: Mode,
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        """Start the program.

        Args:
            argv: the program and its arguments.
            log: receives what it prints, except a session's replies.
            mode: "serve" keeps standard input and output for a session.
            environment: all of its variables.
            folder: its working folder; None: that of this process.

        Raises:
            OSError: the program cannot be started.
        """
        self._log, self._lines = log, Lines()
        self._ended: Exit | None = None
        self._ending = threading.Lock()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        pumps = [(self._process.stderr, False), (self._process.stdout, mode == "serve")]
        self._pumps = [
            threading.Thread(target=self._pump, args=pump, daemon=True) for pump in pumps
        ]
        for pump in self._pumps:
            pump.start()

    @property
    def pid(self) -> int:
        """Number of the program, and of its process group."""
        return self._process.pid

    def _pump(self, stream: IO[bytes], replies: bool) -> None:
        while part := os.read(stream.fileno(), 65536):
            if replies:
                self._lines.feed(part)
            else:
                self._log.write(part)
        stream.close()
        if replies:
            self._lines.end()

    def read_line(self, timeout: float) -> str | None:
        """See ``evaluator.containers.engines.Process``."""
        try:
            return self._lines.next(timeout)
        except queue.Empty:
            return None

    def send_line(self, line: str) -> None:
        """See ``evaluator.containers.engines.Process``."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def running(self) -> bool:
        """See ``evaluator.containers.engines.Process``."""
        return self._process.poll() is None

    def peak_memory(self) -> int | None:
        """See ``evaluator.containers.engines.Process``."""
        return peak_memory_of(self.pid)

    def unlinked_bytes(self, device: int) -> int:
        """See ``evaluator.containers.engines.Process``."""
        return unlinked_bytes_of([self.pid], device)

    def finish(self, timeout: float) -> Exit:
        """See ``evaluator.containers.engines.Process``."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.kill()

    def kill(self) -> Exit:
        """See ``evaluator.containers.engines.Process``."""
        with self._ending:  # the monitor of the output folder may end it at the same time
            if self._ended is None:
                self._ended = self._kill()
            return self._ended

    def _kill(self) -> Exit:
        code = self._end_group()
        return Exit(code=code, out_of_memory=False, tail=self._log.tail())

    def _end_group(self) -> int:
        """Kill the process group and read the rest of its output; returns the exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        for pump in self._pumps:
            pump.join(5)
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        return code
