"""A running container: its lines, its log and its end."""

from __future__ import annotations

import contextlib
import logging
import queue
import struct
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors

from evaluator.containers.engines.docker_errors import (
    GONE,
    engine_faults,
    engine_gone,
    refused_start,
    remove_container,
)
from evaluator.containers.engines.process_output import (
    Lines,
    LogFile,
    peak_memory_of,
    processes_beside,
    unlinked_bytes_of,
)
from evaluator.containers.engines.spec import Exit

if TYPE_CHECKING:
    from evaluator.containers.engines.spec import Mode

logger = logging.getLogger(__name__)

PAUSED = "paused"
#: actions of the engine that a model cannot cause, and what they are called in messages
ACTIONS = {
    "destroy": "removed",
    "restart": "restarted",
    "stop": "stopped",
    "pause": PAUSED,
    "kill": "killed",
}
FRAME = struct.Struct(">BxxxL")
STDOUT = 1


class ContainerProcess:
    """A started container.

    A session is attached before the container starts, so no line is lost; a batch is followed by
    its log.
    """

    def __init__(self, container: Any, log: LogFile, mode: Mode) -> None:
        self._container, self._log, self._lines = container, log, Lines()
        self._socket: Any = None
        self._ended: Exit | None = None
        self._ending = threading.Lock()
        with engine_faults(container.client):
            if mode == "serve":
                attached = container.attach_socket(
                    params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
                )
                self._attached, self._socket = attached, getattr(attached, "_sock", attached)
                self._socket.settimeout(None)
        try:
            with engine_gone(container.client):
                container.start()
        except docker.errors.APIError as error:
            self._close_socket()
            raise refused_start(container.client, error) from error
        self._pump = threading.Thread(
            target=self._read_frames if self._socket else self._follow, daemon=True
        )
        self._pump.start()

    @property
    def container_id(self) -> str:
        """The engine's id of the container."""
        return str(self._container.id)

    def _read_frames(self) -> None:
        """Standard output and error come multiplexed, in frames of docker's attach protocol."""
        try:
            while head := self._receive(FRAME.size):
                stream, length = FRAME.unpack(head)
                while length:
                    part = self._socket.recv(min(length, 65536))
                    if not part:
                        return
                    length -= len(part)
                    if stream == STDOUT:
                        self._lines.feed(part)
                    else:
                        self._log.write(part)
        except OSError:
            pass
        finally:
            self._lines.end()

    def _receive(self, count: int) -> bytes:
        body = b""
        while len(body) < count:
            part = self._socket.recv(count - len(body))
            if not part:
                return b""
            body += part
        return body

    def _follow(self) -> None:
        with contextlib.suppress(docker.errors.DockerException, *GONE):
            for part in self._container.logs(stream=True, follow=True):
                self._log.write(part)

    def read_line(self, timeout: float) -> str | None:
        """See ``evaluator.containers.engines.Process``."""
        try:
            return self._lines.next(timeout)
        except queue.Empty:
            return None

    def send_line(self, line: str) -> None:
        """See ``evaluator.containers.engines.Process``."""
        with contextlib.suppress(OSError):
            self._socket.sendall(line.encode() + b"\n")

    def running(self) -> bool:
        """See ``evaluator.containers.engines.Process``."""
        return bool(self._state().get("Running"))

    def peak_memory(self) -> int | None:
        """See ``evaluator.containers.engines.Process``."""
        pid = self._state().get("Pid") or 0
        return peak_memory_of(pid) if self._is_container(pid) else None

    def unlinked_bytes(self, device: int) -> int:
        """See ``evaluator.containers.engines.Process``."""
        pid = self._state().get("Pid") or 0
        if not pid or not self._is_container(pid):
            return 0
        return unlinked_bytes_of(processes_beside(pid), device)

    def _is_container(self, pid: int) -> bool:
        """Whether a process of this machine belongs to the container.

        The engine tells the number. If it runs on another or a virtual machine, the number names
        another process here.
        """
        try:
            text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        except OSError:
            return False
        return str(self._container.id) in text

    def finish(self, timeout: float) -> Exit:
        """See ``evaluator.containers.engines.Process``."""
        if self._socket:
            import socket

            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        end = time.monotonic() + timeout
        while self.running() and time.monotonic() < end:
            time.sleep(0.05)
        return self.kill()

    def kill(self) -> Exit:
        """See ``evaluator.containers.engines.Process``."""
        with self._ending:  # the monitor of the output folder may end it at the same time
            if self._ended is None:
                self._ended = self._kill()
            return self._ended

    def _kill(self) -> Exit:
        outside = self._outside()
        with contextlib.suppress(docker.errors.APIError), engine_gone(self._container.client):
            if outside == PAUSED:
                self._container.unpause()  # the engine kills no paused container
            self._container.kill()
        # the engine notes an out-of-memory kill with the container's end, perhaps a moment later
        for _ in range(100):
            state = self._state()
            if not state.get("Running"):
                break
            time.sleep(0.05)
        self._pump.join(5)
        remove_container(self._container)
        self._close_socket()
        return Exit(
            code=state.get("ExitCode"),
            out_of_memory=bool(state.get("OOMKilled")),
            tail=self._log.tail(),
            outside=outside,
        )

    def _close_socket(self) -> None:
        if self._socket:
            self._socket.close()
            self._attached.close()

    def _outside(self) -> str:
        """What somebody else did to the container before the evaluator ends it; empty: nothing."""
        state = self._state()
        if state.get("Missing"):
            return "removed"
        if state.get("Paused"):
            return PAUSED
        done = {self._action(event) for event in self._events()}
        return next((word for action, word in ACTIONS.items() if action in done), "")

    def _events(self) -> list[Any]:
        """The engine's events of this container until now; none if it does not tell them."""
        client = self._container.client
        try:
            # by the engine's clock: a later end would be waited for
            now = _timestamp(client.info()["SystemTime"])
            return list(
                client.api.events(
                    since=_timestamp(self._container.attrs["Created"]),
                    until=now,
                    filters={"container": self._container.id, "type": "container"},
                    decode=True,
                )
            )
        except (docker.errors.DockerException, *GONE, KeyError, ValueError):
            logger.debug("the engine tells no events of %s", self._container.name)
            return []

    @staticmethod
    def _action(event: Any) -> str:
        return str(event.get("Action") or event.get("status") or "")

    def _state(self) -> dict[str, Any]:
        with engine_faults(self._container.client):
            try:
                self._container.reload()
            except docker.errors.NotFound:
                return {"Running": False, "ExitCode": None, "Missing": True}
        return dict(self._container.attrs["State"])


def _timestamp(text: str) -> str:
    """A time of the engine as its list of events takes it: seconds since 1970, with a fraction."""
    return f"{datetime.fromisoformat(text).timestamp():.6f}"
