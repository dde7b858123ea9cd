"""A batch: many requests to one container, and again without the request that it died of."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.containers.answers import (
    END_SECONDS,
    MAX_LOST_STARTS,
    RequestOutcome,
    explain_exit,
    new_output,
    raise_if_disk_full,
)
from evaluator.containers.contracts import CONTRACTS
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.output_monitor import OutputMonitor
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from evaluator.containers.contracts import Contract
    from evaluator.containers.engines import Engine, Process
    from evaluator.containers.engines.spec import Limits, Model
    from evaluator.containers.requests import StagedRequest

POLL_SECONDS = 0.05


def answer_batch(
    engine: Engine,
    model: Model,
    workspace: Workspace,
    requests: Sequence[StagedRequest],
    limits: Limits,
    *,
    run_id: str,
    gpu: str | None = None,
    log: Path,
) -> Iterator[RequestOutcome]:
    """One outcome for each request, in the order of ids, from as few containers as possible.

    A model answers in the order of ids. So when it dies or hangs, the first request without an
    answer is the one that it died of; that one fails, and a new container gets the rest.

    Raises:
        HostError: the engine or the disk failed, which is not the model's fault.
    """
    contract = CONTRACTS[model.card.contract]
    waiting = sorted(requests, key=lambda request: request.id)
    lost, last = 0, Failure(status=Status.CRASHED)
    while waiting:
        if lost >= MAX_LOST_STARTS:
            yield from _give_up(waiting, last)
            return
        portion = waiting[: contract.batch_size]
        part = Workspace(input=_batch_input(workspace, portion), output=new_output(workspace))
        begun = time.perf_counter()
        process = engine.start(
            model,
            part,
            limits,
            run_id=run_id,
            mode="batch",
            command=contract.command("batch"),
            gpu=gpu,
            log=log,
        )
        monitor = OutputMonitor(part.output, limits.output_bytes, process)
        batch = _Batch(contract, process, part.output, portion, limits, monitor, begun)
        try:
            done, failure = yield from batch.follow()
        finally:
            monitor.end()
            process.kill()
            shutil.rmtree(part.input, ignore_errors=True)
        waiting = waiting[done:]
        if failure and done < len(portion):
            raise_if_disk_full(workspace)
            seconds = time.perf_counter() - begun
            yield RequestOutcome(request=waiting[0], failure=failure, seconds=seconds)
            waiting = waiting[1:]
            lost, last = (0 if done else lost + 1), failure


def _give_up(waiting: Sequence[StagedRequest], last: Failure) -> Iterator[RequestOutcome]:
    detail = (
        f"not started again after {MAX_LOST_STARTS} starts without an answer; "
        f"the last: {last.detail}"
    )
    for request in waiting:
        yield RequestOutcome(request=request, failure=Failure(status=last.status, detail=detail))


@dataclass(frozen=True, slots=True)
class _Batch:
    """One container at work on some requests."""

    contract: Contract
    process: Process
    output: Path
    requests: Sequence[StagedRequest]
    limits: Limits
    monitor: OutputMonitor
    #: when the container was started, by the performance counter
    begun: float

    def follow(self) -> Generator[RequestOutcome, None, tuple[int, Failure | None]]:
        """Yield outcomes as they appear; returns how many, and why the container ended early."""
        done, since = 0, self.begun
        patience = self.limits.startup + self.limits.timeout
        while True:
            running = self.process.running()
            while done < len(self.requests) and self._is_answered(done, running=running):
                answered = self._answered_at(self.requests[done], since)
                yield self._outcome(self.requests[done], answered - since)
                done, since, patience = done + 1, answered, self.limits.timeout
            if not running:
                break
            if time.perf_counter() - since > patience:
                self.process.kill()
                detail = f"no answer after {patience:g} s"
                return done, Failure(status=Status.TIMEOUT, detail=detail)
            time.sleep(POLL_SECONDS)
        ended = self.process.finish(END_SECONDS)
        if self.monitor.failure:
            return done, self.monitor.failure
        if ended.code != 0:
            return done, explain_exit(ended)
        for request in self.requests[done:]:
            answered = self._answered_at(request, since)
            yield self._outcome(request, answered - since)
            since = answered
        return len(self.requests), None

    def _answered_at(self, request: StagedRequest, since: float) -> float:
        """When a request was answered, by the performance counter and the time of its files.

        Several answers may be found at once, so the present time would give the later ones no
        time at all.
        """
        now = time.perf_counter()
        try:
            written = self.contract.answer_path(request, self.output).lstat().st_mtime
        except OSError:
            return now
        return min(max(now - (time.time() - written), since), now)

    def _is_answered(self, number: int, *, running: bool) -> bool:
        later = self.requests[number + 1 : number + 2]
        return self.contract.is_answered(
            self.requests[number],
            self.output,
            following=later[0] if later else None,
            running=running,
        )

    def _outcome(self, request: StagedRequest, seconds: float) -> RequestOutcome:
        reply = self.contract.read_reply(request, self.output)
        if isinstance(reply, Failure):
            return RequestOutcome(
                request=request, output=self.output, failure=reply, seconds=seconds
            )
        return RequestOutcome(request=request, output=self.output, reply=reply, seconds=seconds)


def _batch_input(workspace: Workspace, requests: Sequence[StagedRequest]) -> Path:
    """An input folder with the files of these requests alone, hard-linked."""
    folder = workspace.input.parent / f"batch-{secrets.token_hex(6)}"
    for request in requests:
        for file in (*request.files, *request.images):
            link = folder / file.relative_to(workspace.input)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.link(file, link)
    for path in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        path.chmod(0o755)
    return folder
