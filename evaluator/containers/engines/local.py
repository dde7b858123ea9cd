"""The engine without containers: an adapter as a subprocess. It isolates nothing and says so."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

from evaluator.containers.engines.process_output import (
    Lines,
    LogFile,
    peak_memory_of,
    unlinked_bytes_of,
)
from evaluator.containers.engines.spec import Capacity, Exit
from evaluator.errors import HostError, UserError
from zoo_sdk.gpu import GIVEN

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines import Process
    from evaluator.containers.engines.spec import Limits, Mode, Model, Relay, Workspace


class LocalEngine:
    """Runs ``zoo_sdk.serve`` with this Python, as the caller, with all that the caller can read."""

    name = "local"
    isolates = False
    sessions = True

    def capacity(self) -> Capacity:
        """Of this machine; nothing limits the cores of a process."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Capacity(memory=memory, cores=os.cpu_count() or 1, limits_cores=False)

    def about(self) -> dict[str, str]:
        """The interpreter's version."""
        return {"python": sys.version.split()[0]}

    def start(
        self,
        model: Model,
        workspace: Workspace,
        limits: Limits,  # noqa: ARG002
        *,
        run_id: str,  # noqa: ARG002
        mode: Mode,
        command: list[str],
        gpu: str | None,
        log: Path,
    ) -> LocalProcess:
        """Start the adapter; raises UserError for a model that has none."""
        if model.adapter is None:
            raise UserError(
                f"model {model.card.name} has no adapter.py, so that it runs in a container only"
            )
        arguments = [sys.executable, "-m", "zoo_sdk.serve", str(model.adapter), *command]
        environment = os.environ | {
            "UMD_INPUT": str(workspace.input),
            "UMD_OUTPUT": str(workspace.output),
        }
        environment |= {"CUDA_VISIBLE_DEVICES": gpu or "", GIVEN: gpu or ""} | (
            {"UMD_WEIGHTS": str(model.weights)} if model.weights else {}
        )
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(
                f"could not start {model.card.name}: {error.strerror}; run again"
            ) from error
        return LocalProcess(process, LogFile(log), mode)

    def start_relay(
        self,
        model: Process,  # noqa: ARG002
        relay: Relay,  # noqa: ARG002
        *,
        run_id: str,  # noqa: ARG002
        log: Path,  # noqa: ARG002
    ) -> LocalProcess:
        """Never called: a server is an image, and this engine runs none."""
        raise UserError("a model that is a server runs in a container only; use --engine docker")

    def check_folders(
        self,
        image: str | None,  # noqa: ARG002
        workspace: Workspace,  # noqa: ARG002
        *,
        run_id: str,  # noqa: ARG002
        gpu: str | None,  # noqa: ARG002
    ) -> bool:
        """Nothing to check: the model sees the evaluator's own folders."""
        return True

    def sweep(self, run_id: str) -> list[str]:  # noqa: ARG002
        """Nothing: a session ends with its input, a batch with its requests."""
        return []

    def orphans(self) -> list[str]:
        """Nothing can be found."""
        return []


class LocalProcess:
    """A subprocess in a process group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: LogFile, mode: Mode) -> None:
        self._process, self._log, self._lines = process, log, Lines()
        assert process.stdout
        assert process.stderr
        pumps = [(process.stderr, False), (process.stdout, mode == "serve")]
        self._pumps = [
            threading.Thread(target=self._pump, args=pump, daemon=True) for pump in pumps
        ]
        for pump in self._pumps:
            pump.start()

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
        return peak_memory_of(self._process.pid)

    def unlinked_bytes(self, device: int) -> int:
        """See ``evaluator.containers.engines.Process``."""
        return unlinked_bytes_of([self._process.pid], device)

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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pump in self._pumps:
            pump.join(5)
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        return Exit(code=code, out_of_memory=False, tail=self._log.tail())
