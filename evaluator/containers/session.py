"""A session: one container that answers requests while it lives, restarted when it dies."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from evaluator.containers.answers import (
    END_SECONDS,
    RequestOutcome,
    StartHistory,
    explain_exit,
    is_asked_again,
    new_output,
    raise_if_disk_full,
    require_input,
)
from evaluator.containers.contracts import contract_of
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.safe_removal import discard_rest
from evaluator.containers.session_process import SessionProcess
from evaluator.containers.starting import ModelStarter
from evaluator.types import Failure
from zoo_sdk.wire import Reply

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
        history: StartHistory | None = None,
    ) -> None:
        self._history = history or StartHistory()
        self._contract = contract_of(model.card)
        self._starter = ModelStarter(
            engine=engine,
            model=model,
            limits=limits,
            run_id=run_id,
            gpu=gpu,
            log=log,
            history=self._history,
        )
        self._workspace, self._limits = workspace, limits
        self._process: SessionProcess | None = None
        #: whether the last container ended before it was ready
        self._failed_at_start = False
        #: what became of a start that no request has waited for: why it failed, and its seconds
        self._started: tuple[Failure | None, float] | None = None

    def __enter__(self) -> Self:
        """Nothing is started before the first request, or before ``begin``."""
        return self

    def begin(self) -> None:
        """Start the model while the first request is prepared.

        The outcome of the first request tells how long it took, or why it failed.

        Raises:
            HostError: as ``ask``.
        """
        if self._process is None and self._started is None and not self._history.given_up:
            self._started = self._timed_start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the model end, or end it."""
        if self._process:
            self._process.close(0 if kind else END_SECONDS)
            self._process = None

    def ask(self, request: StagedRequest) -> RequestOutcome:
        """Send a request and wait for the outcome, at most the limit.

        A request whose container crashed or was ended from outside is sent again.

        Raises:
            HostError: the engine, the disk or somebody else ended it, not the model.
        """
        attempts: list[Failure] = []
        while True:
            outcome = self._ask(request)
            failure = outcome.failure
            if failure is None or self._history.given_up:
                return replace(outcome, attempts=tuple(attempts))
            repeat = is_asked_again(failure, attempts)
            if self._failed_at_start or not repeat:
                self._history.lost(failure)
            if self._history.given_up or not repeat:
                return replace(outcome, attempts=tuple(attempts))
            attempts.append(failure)

    def _ask(self, request: StagedRequest) -> RequestOutcome:
        load_seconds = None
        if self._process is None or self._started is not None:
            if given_up := self._history.given_up:
                return RequestOutcome(request=request, failure=given_up)
            failure, load_seconds = self._started or self._timed_start()
            self._started = None
            self._failed_at_start = failure is not None
            if failure:
                return self._end(request, failure, load_seconds, load_seconds)
        assert self._process
        self._provide(request)
        begun = time.perf_counter()
        reply = self._process.ask(request.id, self._limits.timeout)
        seconds = time.perf_counter() - begun
        if isinstance(reply, Reply):
            reply = self._accept(reply)
        output = self._output_of(request)
        if isinstance(reply, Reply):
            require_input(request)
            reply = self._process.wrote_too_much() or self._process.replaced_folder() or reply
        if isinstance(reply, Failure):
            return self._end(request, reply, seconds, load_seconds)
        self._history.answered()
        self._process.answers.add(self._contract.answer_path(request, output))
        return RequestOutcome(
            request=request,
            output=output,
            reply=reply,
            seconds=seconds,
            load_seconds=load_seconds,
        )

    def peak_memory(self) -> int | None:
        """Most bytes that the model's process has held; None if there is none or it is unknown."""
        return self._process.process.peak_memory() if self._process else None

    def _timed_start(self) -> tuple[Failure | None, float]:
        """Why the model is not ready, or None, and the seconds that it took."""
        begun = time.perf_counter()
        failure = self._start()
        return failure, time.perf_counter() - begun

    def _start(self) -> Failure | None:
        """Start a container and wait until the model is ready; else why it is not."""
        opened = self._open()
        if isinstance(opened, Failure):
            return opened
        process, workspace = opened
        self._process = SessionProcess(process, workspace, self._limits.output_bytes)
        self._process.gpu = self._starter.gpu
        return self._process.wait_until_ready(self._startup_seconds)

    @property
    def _startup_seconds(self) -> float:
        """How long a model may take until it is ready."""
        return self._limits.startup

    def _open(self) -> tuple[Process, Workspace] | Failure:
        """Start a container; its process, and the folders that it sees."""
        workspace = Workspace(input=self._workspace.input, output=new_output(self._workspace))
        process = self._starter.start(workspace, "serve")
        return process if isinstance(process, Failure) else (process, workspace)

    def _provide(self, request: StagedRequest) -> None:
        """Make a request visible to the container; in this convention all are."""

    def _accept(self, reply: Reply) -> Reply | Failure:
        """What the reply means; in this convention it speaks for itself."""
        return reply

    def _output_of(self, request: StagedRequest) -> Path:  # noqa: ARG002 - one for all requests
        """The folder with the answer to a request."""
        assert self._process
        return self._process.workspace.output

    def _end(
        self,
        request: StagedRequest,
        failure: Failure,
        seconds: float,
        load_seconds: float | None,
    ) -> RequestOutcome:
        if self._process:
            output = self._process.workspace.output
            ended = self._process.close(0)
            # what a failed start wrote would add up over many starts
            discard_rest(output, self._process.answers)
            if ended.outside:
                failure = explain_exit(ended)
            failure = self._process.replaced_folder() or failure
        self._process = None
        raise_if_disk_full(self._workspace)
        require_input(request)
        return RequestOutcome(
            request=request, failure=failure, seconds=seconds, load_seconds=load_seconds
        )
