"""One start of a session's container: its process, its replies, and its folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.containers.answers import (
    END_SECONDS,
    OutsideFailure,
    explain_exit,
    raise_if_gpu_unusable,
    raise_if_other_gpu,
    removed_output,
)
from evaluator.containers.output_monitor import OutputMonitor
from evaluator.containers.replies import clean_reply
from evaluator.types import Failure, Status
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import Reply, WireError, parse_reply

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines import Process
    from evaluator.containers.engines.spec import Exit, Workspace

#: what a model that could not be set up reports -> status
SETUP_STATUSES = {"out-of-memory": Status.OUT_OF_MEMORY, "timeout": Status.TIMEOUT}


class SessionProcess:
    """One start of a session: its process, its output folder, and the monitor of that folder."""

    def __init__(self, process: Process, workspace: Workspace, output_bytes: int) -> None:
        self.workspace = workspace
        self.process = process
        #: UUID of the GPU that the container was given; None: none
        self.gpu: str | None = None
        self._input_number = workspace.input.stat().st_ino
        #: folders or files of answers, which are removed when they were read
        self.answers: set[Path] = set()
        self._monitor = OutputMonitor(workspace.output, output_bytes, process)

    def wait_until_ready(self, timeout: float) -> Failure | None:
        """None when the model is ready; else why not. Raises HostError for a wrong GPU."""
        body = self._read(timeout, "the model was not ready")
        if isinstance(body, Failure):
            return body
        if body.get("ready") is True:
            raise_if_other_gpu(self.gpu, body.get("gpu"))
            return None
        kind, message = body.get("kind"), body.get("message")
        raise_if_gpu_unusable(kind, message)
        status = SETUP_STATUSES.get(str(kind), Status.CRASHED)
        detail = f"the model could not be set up: {kind}: {message}"[:2000]
        return Failure(status=status, detail=detail)

    def ask(self, name: str, timeout: float) -> Reply | Failure:
        """Send a request's id and wait for the reply."""
        self.process.send_line(name)
        body = self._read(timeout, "no answer")
        if isinstance(body, Failure):
            return body
        try:
            reply = clean_reply(parse_reply(body))
        except WireError as error:
            detail = f"the reply does not follow the contract: {error}"
            return Failure(status=Status.ERROR, detail=detail)
        if reply.id != name:
            detail = f"asked for {name}, the model replied to {reply.id!r}"[:500]
            return Failure(status=Status.ERROR, detail=detail)
        return reply

    def wrote_too_much(self) -> Failure | None:
        """The failure of a container that has written more than it may; None if it has not."""
        return self._monitor.look()

    def replaced_folder(self) -> OutsideFailure | None:
        """The failure of a container whose folders were removed or replaced; None if they exist."""
        removed = removed_output(self.workspace.output)
        if removed:
            return removed
        folder = self.workspace.input
        if folder.is_dir() and folder.stat().st_ino == self._input_number:
            return None
        detail = f"the model's input folder {folder} was removed or replaced"
        return OutsideFailure(status=Status.MISSING, detail=detail)

    def ended(self) -> Failure:
        """Why the process ended, which has."""
        ended = self.process.finish(END_SECONDS)
        return self._monitor.look() or explain_exit(ended)

    def close(self, patience: float) -> Exit:
        """End the process; its answers stay until the workspace is removed."""
        self._monitor.end()
        return self.process.finish(patience) if patience else self.process.kill()

    def _read(self, timeout: float, waiting_for: str) -> dict[str, Any] | Failure:
        try:
            line = self.process.read_line(timeout)
        except EOFError:
            return self.ended()
        if line is None:
            late = Failure(status=Status.TIMEOUT, detail=f"{waiting_for} after {timeout:g} s")
            return self._monitor.look() or late
        try:
            body = loads(line)
            if not isinstance(body, dict):
                raise WireError("not an object")
        except WireError as error:
            detail = f"a line that is no reply ({error}): {line[:200]}"
            return Failure(status=Status.ERROR, detail=detail)
        return body
