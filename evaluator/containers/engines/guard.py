"""Ends containers when the evaluator ends, even by SIGKILL.

A guard is a small process in a session of its own. The evaluator holds the only writing end of its
standard input. When that is closed, the evaluator has ended: the guard runs the stop command of
every container that is still registered, and kills its process group.

The file is also the program of the guard, with the standard library alone.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

STOP_SECONDS = 60


class Guard:
    """The evaluator's side: containers are registered before they start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def register(self, name: str, *, stop: Sequence[str] = (), group: int | None = None) -> None:
        """Watch a container.

        Args:
            name: of the container.
            stop: command that ends it; empty: none is needed.
            group: its process group on this machine; None: not known yet.
        """
        started = start_of(group) if group else ""
        self._send({"name": name, "stop": list(stop), "group": group, "started": started})

    def forget(self, name: str) -> None:
        """The container has ended."""
        self._send({"name": name})

    def _send(self, body: dict[str, Any]) -> None:
        with self._lock:
            if self._process is None:
                atexit.register(self.close)
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            assert self._process.stdin
            with contextlib.suppress(OSError):
                self._process.stdin.write(json.dumps(body).encode() + b"\n")
                self._process.stdin.flush()

    def close(self) -> None:
        """End the guard, and with it every container that is still registered."""
        with self._lock:
            if self._process is None:
                return
            assert self._process.stdin
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None
            atexit.unregister(self.close)


#: of this process
GUARD = Guard()


def start_of(pid: int) -> str:
    """When a process was started, in the system's ticks; empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # the name in parentheses may hold spaces
    return text.rpartition(")")[2].split()[19]


def watch(lines: IO[str]) -> None:
    """The guard: remember what is registered until the input ends, then end all of it."""
    registered: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            body = json.loads(line)
        except ValueError:
            continue  # the evaluator was killed while it wrote
        if "stop" in body:
            registered[body["name"]] = body
        else:
            registered.pop(body["name"], None)
    for body in registered.values():
        _end(body["stop"], body["group"], body["started"])


def _end(stop: list[str], group: int | None, started: str) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if stop:
            subprocess.run(stop, stdin=subprocess.DEVNULL, timeout=STOP_SECONDS, check=False)
    # the number of a group that is gone may belong to another one
    if group and start_of(group) == started:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
