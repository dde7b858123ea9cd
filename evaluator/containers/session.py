"""A session: one container that answers requests while it lives, restarted when it dies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from evaluator.containers.answers import (
    END_SECONDS,
    MAX_LOST_STARTS,
    RequestOutcome,
    explain_exit,
    new_output,
    raise_if_disk_full,
)
from evaluator.containers.contracts import contract_of
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.output_monitor import OutputMonitor
from evaluator.types import Failure, Status
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import Reply, WireError, parse_reply

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines import Engine, Process
    from evaluator.containers.engines.spec import Limits, Model
    from evaluator.containers.requests import StagedRequest


class ModelSession:
    """``with ModelSession(...) as session: session.ask(request)``. For one thread."""

    def __init__(
        self,
        engine: Engine,
        model: Model,
        workspace: Workspace,
        limits: Limits,
        *,
        run_id: str,
        gpu: str | None = None,
        log: Path,
    ) -> None:
        command = contract_of(model.card).command("serve")

        def start(part: Workspace) -> Process:
            return engine.start(
                model,
                part,
                limits,
                run_id=run_id,
                mode="serve",
                command=command,
                gpu=gpu,
                log=log,
            )

        self._start_model = start
        self._workspace, self._limits = workspace, limits
        self._process: _SessionProcess | None = None
        self._lost = 0
        self._last = Failure(status=Status.CRASHED)

    def __enter__(self) -> Self:
        """Nothing is started before the first request."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the model end, or end it."""
        if self._process:
            self._process.close(0 if kind else END_SECONDS)
            self._process = None

    def ask(self, request: StagedRequest) -> RequestOutcome:
        """Send a request and wait for the outcome, at most the limit.

        Raises:
            HostError: the engine or the disk failed, which is not the model's fault.
        """
        load_seconds = None
        if self._process is None:
            if self._lost >= MAX_LOST_STARTS:
                return RequestOutcome(request=request, failure=self._last)
            begun = time.perf_counter()
            self._process = _SessionProcess(
                self._start_model, self._workspace, self._limits.output_bytes
            )
            failure = self._process.wait_until_ready(self._limits.startup)
            load_seconds = time.perf_counter() - begun
            if failure:
                return self._end(request, failure, load_seconds, load_seconds)
        begun = time.perf_counter()
        reply = self._process.ask(request.id, self._limits.timeout)
        seconds = time.perf_counter() - begun
        if isinstance(reply, Failure):
            return self._end(request, reply, seconds, load_seconds)
        self._lost = 0
        return RequestOutcome(
            request=request,
            output=self._process.workspace.output,
            reply=reply,
            seconds=seconds,
            load_seconds=load_seconds,
        )

    def peak_memory(self) -> int | None:
        """Most bytes that the model's process has held; None if there is none or it is unknown."""
        return self._process.process.peak_memory() if self._process else None

    def _end(
        self,
        request: StagedRequest,
        failure: Failure,
        seconds: float,
        load_seconds: float | None,
    ) -> RequestOutcome:
        assert self._process
        self._process.close(0)
        self._process = None
        self._lost += 1
        detail = (
            f"not started again after {MAX_LOST_STARTS} starts without an answer; "
            f"the last: {failure.detail}"
        )
        self._last = Failure(status=failure.status, detail=detail)
        raise_if_disk_full(self._workspace)
        return RequestOutcome(
            request=request, failure=failure, seconds=seconds, load_seconds=load_seconds
        )


class _SessionProcess:
    """One start of a session: its process, its output folder, and the monitor of that folder."""

    def __init__(self, start: Any, workspace: Workspace, output_bytes: int) -> None:
        self.workspace = Workspace(input=workspace.input, output=new_output(workspace))
        self.process: Process = start(self.workspace)
        self._monitor = OutputMonitor(self.workspace.output, output_bytes, self.process)

    def wait_until_ready(self, timeout: float) -> Failure | None:
        """None when the model is ready; else why not."""
        body = self._read(timeout, "the model was not ready")
        if isinstance(body, Failure):
            return body
        if body.get("ready") is True:
            return None
        kind, message = body.get("kind"), body.get("message")
        status = Status.OUT_OF_MEMORY if kind == "out-of-memory" else Status.CRASHED
        detail = f"the model could not be set up: {kind}: {message}"[:2000]
        return Failure(status=status, detail=detail)

    def ask(self, name: str, timeout: float) -> Reply | Failure:
        """Send a request's id and wait for the reply."""
        self.process.send_line(name)
        body = self._read(timeout, "no answer")
        if isinstance(body, Failure):
            return body
        try:
            reply = parse_reply(body)
        except WireError as error:
            detail = f"the reply does not follow the contract: {error}"
            return Failure(status=Status.ERROR, detail=detail)
        if reply.id != name:
            detail = f"asked for {name}, the model replied to {reply.id!r}"[:500]
            return Failure(status=Status.ERROR, detail=detail)
        return reply

    def close(self, patience: float) -> None:
        """End the process; its answers stay until the workspace is removed."""
        self._monitor.end()
        if patience:
            self.process.finish(patience)
        else:
            self.process.kill()

    def _read(self, timeout: float, waiting_for: str) -> dict[str, Any] | Failure:
        try:
            line = self.process.read_line(timeout)
        except EOFError:
            return self._monitor.failure or explain_exit(self.process.finish(END_SECONDS))
        if line is None:
            return Failure(status=Status.TIMEOUT, detail=f"{waiting_for} after {timeout:g} s")
        try:
            body = loads(line)
            if not isinstance(body, dict):
                raise WireError("not an object")
        except WireError as error:
            detail = f"a line that is no reply ({error}): {line[:200]}"
            return Failure(status=Status.ERROR, detail=detail)
        return body
