"""A batch: many requests to one container, and again without the request that it died of."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluator.containers.answers import (
    END_SECONDS,
    RequestOutcome,
    StartHistory,
    explain_exit,
    is_asked_again,
    new_output,
    raise_if_disk_full,
    removed_output,
    require_input,
)
from evaluator.containers.contracts import contract_of
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.output_monitor import OutputMonitor
from evaluator.containers.safe_removal import discard_rest
from evaluator.containers.starting import ModelStarter
from evaluator.errors import HostError
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
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
    history: StartHistory | None = None,
) -> Iterator[RequestOutcome]:
    """One outcome for each request, in the order of ids, from as few containers as possible.

    When a container dies, what it has answered is kept, in any order. The first request without an
    answer is then sent once more, alone, because the container may have died of another one; only a
    failure of a container that had this request alone, or a hang, is believed. A new container gets
    the rest.

    Raises:
        HostError: the engine, the disk or somebody else ended it, not the model.
    """
    contract = contract_of(model.card)
    history = history or StartHistory()
    starter = ModelStarter(
        engine=engine,
        model=model,
        limits=limits,
        run_id=run_id,
        gpu=gpu,
        log=log,
        history=history,
    )
    waiting = sorted(requests, key=lambda request: request.id)
    attempts: list[Failure] = []
    while waiting:
        if given_up := history.given_up:
            yield from (RequestOutcome(request=left, failure=given_up) for left in waiting)
            return
        portion = waiting[: 1 if attempts else contract.batch_size]
        begun = time.perf_counter()
        left, failure = yield from _answer_portion(starter, contract, workspace, portion, attempts)
        if len(left) < len(portion):
            history.answered()
        if portion[0] not in left:
            attempts = []
        waiting = [*left, *waiting[len(portion) :]]
        if failure is None or not left:
            continue
        raise_if_disk_full(workspace)
        require_input(waiting[0])
        if _is_repeated(failure, attempts, len(portion)):
            attempts.append(_of_batch(failure, len(portion)))
            continue
        history.lost(failure)
        seconds, tried = time.perf_counter() - begun, tuple(attempts)
        yield RequestOutcome(request=waiting[0], failure=failure, seconds=seconds, attempts=tried)
        waiting, attempts = waiting[1:], []


def _is_repeated(failure: Failure, attempts: Sequence[Failure], count: int) -> bool:
    """Whether the first request that is left is sent again, after a container with ``count``."""
    doubtful = count > 1 and failure.status == Status.TOO_LARGE
    return doubtful or is_asked_again(failure, attempts)


def _of_batch(failure: Failure, count: int) -> Failure:
    """The failure of a container that had several requests, which says so."""
    if count == 1:
        return failure
    detail = f"in a batch of {count} requests, and perhaps of another one: {failure.detail}"
    return replace(failure, detail=detail)


def _answer_portion(
    starter: ModelStarter,
    contract: Contract,
    workspace: Workspace,
    portion: Sequence[StagedRequest],
    attempts: Sequence[Failure],
) -> Generator[RequestOutcome, None, tuple[list[StagedRequest], Failure | None]]:
    """Yield outcomes of one container; returns the requests that are left, and why it ended early.

    ``attempts`` are earlier failures of the first request.
    """
    begun = time.perf_counter()
    writable = contract.layout.input_writable
    part = Workspace(
        input=_batch_input(workspace, portion, writable=writable),
        output=new_output(workspace),
        cache=portion[0].cache,
    )
    try:
        process = starter.start(part, "batch")
        if isinstance(process, Failure):
            return list(portion), process
        monitor = OutputMonitor(part.output, starter.limits.output_bytes, process, cache=part.cache)
        batch = _Batch(contract, process, part, portion, starter.limits, monitor, begun)
        try:
            left, failure = yield from _with_attempts(batch.follow(), attempts)
        finally:
            monitor.end()
            ended = process.kill()
        if failure and ended.outside and not monitor.failure:
            failure = explain_exit(ended)
        if failure:
            answered = [request for request in portion if request not in left]
            answers = {contract.answer_path(request, part.output) for request in answered}
            discard_rest(part.output, answers)
        return left, (removed_output(part.output) or failure) if failure else None
    finally:
        shutil.rmtree(part.input, ignore_errors=True)


def _with_attempts(
    answers: Generator[RequestOutcome, None, tuple[list[StagedRequest], Failure | None]],
    attempts: Sequence[Failure],
) -> Generator[RequestOutcome, None, tuple[list[StagedRequest], Failure | None]]:
    """The same outcomes, the first one with the failures before it."""
    earlier = tuple(attempts)
    while True:
        try:
            outcome = next(answers)
        except StopIteration as end:
            result: tuple[list[StagedRequest], Failure | None] = end.value
            return result
        yield replace(outcome, attempts=earlier)
        earlier = ()


@dataclass(frozen=True, slots=True)
class _Batch:
    """One container at work on some requests."""

    contract: Contract
    process: Process
    workspace: Workspace
    requests: Sequence[StagedRequest]
    limits: Limits
    monitor: OutputMonitor
    #: when the container was started, by the performance counter
    begun: float

    @property
    def output(self) -> Path:
        """The container's output folder."""
        return self.workspace.output

    def follow(self) -> Generator[RequestOutcome, None, tuple[list[StagedRequest], Failure | None]]:
        """Yield outcomes as they appear; returns what is left, and why the container ended early.

        While the container runs, requests are answered in the order of their ids.
        """
        left, since = list(self.requests), self.begun
        failure: Failure | None = None
        patience = self.limits.startup + self.limits.timeout
        while True:
            running = self.process.running()
            if left and self._is_answered(left, running=running) and self.monitor.look():
                return left, self.monitor.failure
            while left and self._is_answered(left, running=running):
                answered = self._answered_at(left[0], since)
                yield self._outcome(left.pop(0), answered - since)
                since, patience = answered, self.limits.timeout
            if not running:
                break
            if time.perf_counter() - since > patience:
                detail = f"no answer after {patience:g} s"
                failure = Failure(status=Status.TIMEOUT, detail=detail)
                break
            time.sleep(POLL_SECONDS)
        ended = self.process.finish(END_SECONDS) if failure is None else self.process.kill()
        stopped = failure is not None or ended.code != 0
        if written := self.monitor.failure or (self.monitor.look() if stopped else None):
            return left, written
        late = failure is not None
        if failure is None and ended.code != 0:
            failure = explain_exit(ended)
        for request in list(left):
            suspected = late and request is left[0]
            if failure is None or (not suspected and self._is_answered([request], running=False)):
                answered = self._answered_at(request, since)
                yield self._outcome(request, max(answered - since, 0.0))
                left.remove(request)
                since = answered
        return left, failure

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

    def _is_answered(self, requests: Sequence[StagedRequest], *, running: bool) -> bool:
        """Whether the first of these requests is answered."""
        return self.contract.is_answered(
            requests[0],
            self.output,
            following=requests[1] if len(requests) > 1 else None,
            running=running,
        )

    def _outcome(self, request: StagedRequest, seconds: float) -> RequestOutcome:
        if not self.workspace.input.is_dir():
            raise HostError(
                f"{self.workspace.input} was removed while the model worked; leave the folder "
                "alone and run again"
            )
        reply = self.contract.read_reply(request, self.output)
        if isinstance(reply, Failure):
            return RequestOutcome(
                request=request, output=self.output, failure=reply, seconds=seconds
            )
        return RequestOutcome(request=request, output=self.output, reply=reply, seconds=seconds)


def _batch_input(
    workspace: Workspace, requests: Sequence[StagedRequest], *, writable: bool
) -> Path:
    """An input folder with the files of these requests alone: hard links, or writable copies."""
    folder = workspace.input.parent / f"batch-{secrets.token_hex(6)}"
    folder.mkdir()
    fill_input(folder, workspace, requests, writable=writable)
    return folder


def fill_input(
    folder: Path, workspace: Workspace, requests: Sequence[StagedRequest], *, writable: bool
) -> None:
    """Put the files of requests into a folder that a container sees as its input.

    Args:
        folder: an existing folder.
        workspace: where the requests were staged.
        requests: the requests.
        writable: copies that the container may change, instead of hard links.
    """
    provide: Callable[[Path, Path], object] = shutil.copy if writable else os.link
    for request in requests:
        for file in (*request.files, *request.images):
            link = folder / file.relative_to(request.root or workspace.input)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                provide(file, link)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o777 if writable else 0o755)
