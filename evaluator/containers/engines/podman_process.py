"""A container of Podman's command line: its process, its state and its end."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.containers.engines.guard import GUARD
from evaluator.containers.engines.piped_process import PipedProcess
from evaluator.containers.engines.podman import removal_argv, start_argv
from evaluator.containers.engines.process_output import (
    peak_memory_of,
    processes_beside,
    unlinked_bytes_of,
)
from evaluator.containers.engines.spec import Exit
from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers.engines.command_spec import ContainerSpec
    from evaluator.containers.engines.process_output import LogFile
    from evaluator.containers.engines.programs import Program
    from evaluator.containers.engines.spec import Mode

#: how long a container may take to start
START_SECONDS = 60.0


class PodmanProcess(PipedProcess):
    """A container that podman has created, started with its lines attached."""

    def __init__(self, program: Program, spec: ContainerSpec, log: LogFile, mode: Mode) -> None:
        """Start it; raises HostError if podman cannot be started."""
        self._program, self.name = program, spec.name
        self._pid = 0
        try:
            # conmon, which podman starts, writes the file oom into its working folder
            self._folder = Path(tempfile.mkdtemp(prefix="umd-podman-"))
        except OSError as error:
            raise HostError(f"no temporary folder can be made: {error.strerror}") from error
        try:
            super().__init__(
                program.argv(start_argv(spec)),
                log,
                mode,
                environment=program.environment,
                folder=self._folder,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise HostError(f"podman cannot be started: {error.strerror}; run again") from error
        GUARD.register(spec.name, stop=program.argv(removal_argv(spec.name)), group=self.pid)

    def wait_until_started(self) -> None:
        """Wait until the container has started, or has ended."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.running():
            if self._state().get("Status") not in ("created", "configured", "initialized"):
                return
            time.sleep(0.05)

    def peak_memory(self) -> int | None:
        """See ``evaluator.containers.engines.Process``."""
        return peak_memory_of(self._main()) if self._main() else None

    def unlinked_bytes(self, device: int) -> int:
        """See ``evaluator.containers.engines.Process``."""
        return unlinked_bytes_of(processes_beside(self._main()), device) if self._main() else 0

    def _main(self) -> int:
        """Number of the container's main process on this machine; 0 if it is not known yet."""
        if not self._pid:
            self._pid = int(self._state().get("Pid") or 0)
        return self._pid

    def _state(self) -> Mapping[str, Any]:
        """The container's state; empty if it is not there."""
        ended = self._program.call(["container", "inspect", self.name])
        try:
            return dict(json.loads(ended.output)[0]["State"]) if ended.code == 0 else {}
        except (ValueError, LookupError, TypeError):
            return {}

    def _kill(self) -> Exit:
        state = self._state()
        code: int | None = self._process.poll()
        if code is None and state.get("Running"):
            self._program.call(["kill", self.name])
            # podman notes an out-of-memory kill with the container's end
            self._program.call(["wait", self.name], timeout=30)
            state = self._state() or state
        with contextlib.suppress(HostError):
            self._program.call(removal_argv(self.name))
        ended = self._end_group()
        GUARD.forget(self.name)
        outside = "" if state else "removed"
        outside = "paused" if state.get("Paused") else outside
        # podman 4 looks for the file elsewhere, and does not know of it
        out_of_memory = bool(state.get("OOMKilled")) or (self._folder / "oom").exists()
        shutil.rmtree(self._folder, ignore_errors=True)
        return Exit(
            code=ended if code is None else code,
            out_of_memory=out_of_memory,
            tail=self._log.tail(),
            outside=outside,
        )
