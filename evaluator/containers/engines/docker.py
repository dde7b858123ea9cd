"""Docker Engine, and Podman's service with the same interface, through the docker SDK."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import struct
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import requests
from docker.types import DeviceRequest, LogConfig, Ulimit

from evaluator.containers.engines.process_output import Lines, LogFile, peak_memory_of
from evaluator.containers.engines.spec import Caller, Exit, container_arguments
from evaluator.errors import EngineUnavailableError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.containers.engines.spec import Limits, Mode, Model, Workspace

#: seconds for any call to the engine that is not a wait for a model
CALL_SECONDS = 120
GONE = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError)
FRAME = struct.Struct(">BxxxL")
STDOUT = 1

HOW_TO_GET = """no container engine answers ({why}).
  As root on Debian or Ubuntu:  apt-get install docker.io && systemctl start docker (or: dockerd &)
  Elsewhere: https://docs.docker.com/engine/install, or Podman with DOCKER_HOST set to its socket.
  A user needs to be in the group "docker".
  Without any engine: --engine local, which provides no isolation."""


@contextlib.contextmanager
def engine_gone() -> Iterator[None]:
    """Only a lost connection becomes a HostError."""
    try:
        yield
    except GONE as error:
        raise HostError(
            f"the container engine is gone ({_brief(error)}); "
            "start it and run again, nothing is lost"
        ) from error


@contextlib.contextmanager
def engine_faults() -> Iterator[None]:
    """A lost connection, and whatever the engine refuses, becomes a HostError."""
    try:
        with engine_gone():
            yield
    except docker.errors.APIError as error:
        raise HostError(
            f"the container engine refused: {error.explanation or error}; see: umd doctor"
        ) from error


class DockerEngine:
    """A connection to Docker or Podman."""

    isolates = True

    def __init__(self, client: Any, *, podman: bool) -> None:
        self.client, self._podman = client, podman
        self.name = "podman" if podman else "docker"
        # Podman 4's attach refuses the upgrade that a session needs
        self.sessions = not podman

    @classmethod
    def connect(cls, *, podman: bool = False) -> DockerEngine:
        """Connect by DOCKER_HOST or the usual socket.

        Raises:
            EngineUnavailableError: none answers; the message says how to get an engine.
        """
        try:
            address = _podman_socket() if podman else None
            client = (
                docker.DockerClient(base_url=address, timeout=CALL_SECONDS)
                if address
                else docker.from_env(timeout=CALL_SECONDS)
            )
            components = {part["Name"] for part in client.version().get("Components", ())}
        except (docker.errors.DockerException, *GONE) as error:
            raise EngineUnavailableError(HOW_TO_GET.format(why=_brief(error))) from error
        is_podman = any("Podman" in name for name in components)
        if podman and not is_podman:
            raise EngineUnavailableError("what answers is Docker, not Podman; use --engine docker")
        return cls(client, podman=is_podman)

    def about(self) -> dict[str, str]:
        """Versions of the engine."""
        with engine_faults():
            versions = self.client.version()
        return {
            "version": str(versions.get("Version", "")),
            "api": str(versions.get("ApiVersion", "")),
        }

    @cached_property
    def runtimes(self) -> tuple[str, ...]:
        """Names of the runtimes that the engine knows (nvidia among them means GPUs)."""
        with engine_faults():
            return tuple(self.client.info().get("Runtimes") or {})

    def image_folder(self) -> Path | None:
        """Where the engine keeps its images, as it sees it; None if it does not tell."""
        with engine_faults():
            folder = self.client.info().get("DockerRootDir")
        return Path(folder) if folder else None

    def start(
        self,
        model: Model,
        workspace: Workspace,
        limits: Limits,
        *,
        run_id: str,
        mode: Mode,
        command: list[str],
        gpu: str | None,
        log: Path,
    ) -> ContainerProcess:
        """See ``evaluator.containers.engines.Engine``."""
        name = f"umd-{model.card.name}-{secrets.token_hex(6)}"
        caller = Caller.this_process()
        if caller.uid == 0:
            os.chown(workspace.output, *caller.container_user)
        arguments = container_arguments(
            model,
            workspace,
            limits,
            caller,
            name=name,
            run_id=run_id,
            mode=mode,
            command=command,
            gpu=gpu,
            podman=self._podman,
        )
        with engine_faults():
            container = self.client.containers.create(**_docker_types(arguments))
        try:
            return ContainerProcess(container, LogFile(log), mode)
        except BaseException:
            _remove(container)
            raise

    def sweep(self, run_id: str) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        orphans = self._orphans()
        of_run = [container for container in orphans if container.labels.get("umd.run") == run_id]
        return self._remove_all(of_run)

    def orphans(self) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        return [container.name for container in self._orphans()]

    def remove_orphans(self) -> list[str]:
        """Remove them; returns their names."""
        return self._remove_all(self._orphans())

    def _orphans(self) -> list[Any]:
        host = os.uname().nodename
        orphans = []
        for container in self._labelled("umd.run"):
            alive = Path("/proc", container.labels.get("umd.pid", "0")).exists()
            if container.labels.get("umd.host") == host and not alive:
                orphans.append(container)
        return orphans

    def _labelled(self, label: str) -> list[Any]:
        with engine_faults():
            return list(
                self.client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
            )

    def _remove_all(self, containers: list[Any]) -> list[str]:
        for container in containers:
            _remove(container)
        return [str(container.name) for container in containers]


class ContainerProcess:
    """A started container.

    A session is attached before the container starts, so no line is lost; a batch is followed by
    its log.
    """

    def __init__(self, container: Any, log: LogFile, mode: Mode) -> None:
        self._container, self._log, self._lines = container, log, Lines()
        self._socket: Any = None
        with engine_faults():
            if mode == "serve":
                attached = container.attach_socket(
                    params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
                )
                self._attached, self._socket = attached, getattr(attached, "_sock", attached)
                self._socket.settimeout(None)
            container.start()
        self._pump = threading.Thread(
            target=self._read_frames if self._socket else self._follow, daemon=True
        )
        self._pump.start()

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
        # the number is the engine's: if that runs on another or a virtual machine, it names
        # another process here
        with contextlib.suppress(OSError):
            if str(self._container.id) in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
                return peak_memory_of(pid)
        return None

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
        with contextlib.suppress(docker.errors.APIError), engine_gone():
            self._container.kill()
        # the engine notes an out-of-memory kill with the container's end, perhaps a moment later
        for _ in range(100):
            state = self._state()
            if not state.get("Running"):
                break
            time.sleep(0.05)
        self._pump.join(5)
        _remove(self._container)
        if self._socket:
            self._socket.close()
            self._attached.close()
        return Exit(
            code=state.get("ExitCode"),
            out_of_memory=bool(state.get("OOMKilled")),
            tail=self._log.tail(),
        )

    def _state(self) -> dict[str, Any]:
        with engine_faults():
            try:
                self._container.reload()
            except docker.errors.NotFound:
                return {"Running": False, "ExitCode": None}
        return dict(self._container.attrs["State"])


def _docker_types(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the types that the docker SDK wants."""
    log = arguments["log_config"]
    devices = [DeviceRequest(**request) for request in arguments["device_requests"]]
    typed = {
        "ulimits": [Ulimit(**limit) for limit in arguments["ulimits"]],
        "device_requests": devices or None,
        "log_config": LogConfig(type=LogConfig.types.JSON, config=log) if log else None,
    }
    return arguments | typed


def _remove(container: Any) -> None:
    with contextlib.suppress(docker.errors.DockerException, *GONE):
        container.remove(force=True, v=True)


def _podman_socket() -> str:
    """Address of Podman: DOCKER_HOST, or the user's or the system's socket."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for path in (Path(runtime, "podman/podman.sock"), Path("/run/podman/podman.sock")):
        if path.is_socket():
            return f"unix://{path}"
    raise docker.errors.DockerException(
        "no Podman socket; start it with: systemctl --user start podman.socket"
    )


def _brief(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) < 200 else text[:200] + "..."
