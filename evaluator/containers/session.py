"""A session: one container for as long as it lives, started again when it dies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from evaluator.containers.answers import (
    END_SECONDS,
    MOST_LOST_STARTS,
    RequestOutcome,
    explain,
    own_output,
    raise_if_disk_full,
)
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.output_monitor import Watch
from evaluator.types import Failure, Status
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import Reply, WireError, parse_reply

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines import Engine, Process
    from evaluator.containers.engines.spec import Limits, Model
    from zoo_sdk.wire import Request


class ModelSession:
    """``with ModelSession(...) as talk: talk.ask(request)``: one container for as long as it lives. For one thread."""

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
        self._start_model = lambda own: engine.start(
            model, own, limits, run_id=run_id, mode="serve", gpu=gpu, log=log
        )
        self._workspace, self._limits = workspace, limits
        self._open: _Open | None = None
        self._lost = 0
        self._last = Failure(status=Status.CRASHED)

    def __enter__(self) -> Self:
        """Nothing is started before the first question."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the model end, or end it."""
        if self._open:
            self._open.close(0 if kind else END_SECONDS)
            self._open = None

    def ask(self, request: Request) -> RequestOutcome:
        """Ask and wait, at most the limit; raises HostError when it is the machine that failed."""
        load_seconds = None
        if self._open is None:
            if self._lost >= MOST_LOST_STARTS:
                return RequestOutcome(
                    request=request, folder=None, reply=None, failure=self._last, seconds=0.0
                )
            begun = time.perf_counter()
            self._open = _Open(self._start_model, self._workspace, self._limits.output_bytes)
            failure = self._open.wait_until_ready(self._limits.startup)
            load_seconds = time.perf_counter() - begun
            if failure:
                return self._end(request, failure, load_seconds, load_seconds)
        begun = time.perf_counter()
        said = self._open.ask(request.id, self._limits.timeout)
        seconds = time.perf_counter() - begun
        if isinstance(said, Failure):
            return self._end(request, said, seconds, load_seconds)
        self._lost = 0
        folder = self._open.workspace.output / request.id
        return RequestOutcome(
            request=request,
            folder=folder,
            reply=said,
            failure=None,
            seconds=seconds,
            load_seconds=load_seconds,
        )

    def peak_memory(self) -> int | None:
        """Most bytes that the open session's process has held until now; None where there is none, or nobody can tell."""
        return self._open.process.peak_memory() if self._open else None

    def _end(
        self, request: Request, failure: Failure, seconds: float, load_seconds: float | None
    ) -> RequestOutcome:
        assert self._open
        self._open.close(0)
        self._open = None
        self._lost += 1
        self._last = Failure(
            status=failure.status,
            detail=f"not started again after {MOST_LOST_STARTS} starts without an answer; the last: {failure.detail}",
        )
        raise_if_disk_full(self._workspace)
        return RequestOutcome(
            request=request,
            folder=None,
            reply=None,
            failure=failure,
            seconds=seconds,
            load_seconds=load_seconds,
        )


class _Open:
    """One start of a session: its process, its own output folder, and the watch over that folder."""

    def __init__(self, start: Any, workspace: Workspace, output_bytes: int) -> None:
        self.workspace = Workspace(input=workspace.input, output=own_output(workspace))
        self.process: Process = start(self.workspace)
        self._watch = Watch(self.workspace.output, output_bytes, self.process)

    def wait_until_ready(self, timeout: float) -> Failure | None:
        """None when it is; else why not."""
        said = self._read(timeout, "the model was not ready")
        if isinstance(said, Failure):
            return said
        if said.get("ready") is True:
            return None
        kind = Status.OUT_OF_MEMORY if said.get("kind") == "out-of-memory" else Status.CRASHED
        return Failure(
            status=kind,
            detail=f"the model could not be set up: {said.get('kind')}: {said.get('message')}"[
                :2000
            ],
        )

    def ask(self, name: str, timeout: float) -> Reply | Failure:
        """Send a request's id and wait for the reply."""
        self.process.send_line(name)
        said = self._read(timeout, "no answer")
        if isinstance(said, Failure):
            return said
        try:
            reply = parse_reply(said)
        except WireError as error:
            return Failure(
                status=Status.ERROR, detail=f"the reply does not follow the contract: {error}"
            )
        if reply.id != name:
            return Failure(
                status=Status.ERROR,
                detail=f"asked for {name}, the model replied to {reply.id!r}"[:500],
            )
        return reply

    def close(self, patience: float) -> None:
        """End the process; its answers stay until the workspace goes."""
        self._watch.end()
        if patience:
            self.process.finish(patience)
        else:
            self.process.kill()

    def _read(self, timeout: float, what: str) -> dict[str, Any] | Failure:
        try:
            line = self.process.read_line(timeout)
        except EOFError:
            return self._watch.failure or explain(self.process.finish(END_SECONDS))
        if line is None:
            return Failure(status=Status.TIMEOUT, detail=f"{what} after {timeout:g} s")
        try:
            body = loads(line)
            if not isinstance(body, dict):
                raise WireError("not an object")
        except WireError as error:
            return Failure(
                status=Status.ERROR, detail=f"a line that is no reply ({error}): {line[:200]}"
            )
        return body
