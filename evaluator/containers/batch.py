"""A batch: many requests to one container start, and again without the one that it died of."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from typing import TYPE_CHECKING, Any

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
from evaluator.volumes.mask_validation import read_untrusted
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import WireError, parse_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.containers.engines import Engine, Process
    from evaluator.containers.engines.spec import Limits, Model
    from zoo_sdk.wire import Request

REPLY_BYTES = 2**20
POLL_SECONDS = 0.05


def answer_batch(
    engine: Engine,
    model: Model,
    workspace: Workspace,
    requests: Sequence[Request],
    limits: Limits,
    *,
    run_id: str,
    gpu: str | None = None,
    log: Path,
) -> Iterator[RequestOutcome]:
    """One answer for each request, in name order, from as few container starts as can be.

    The contract has the model answer in name order; so when it dies or hangs, the first request without an answer is
    what it died of. That one fails, and the rest is asked again in a new container.
    """
    waiting = sorted(requests, key=lambda request: request.id)
    lost, last = 0, Failure(status=Status.CRASHED)
    while waiting:
        if lost >= MOST_LOST_STARTS:
            detail = (
                f"not started again after {lost} starts without an answer; the last: {last.detail}"
            )
            for request in waiting:
                failure = Failure(status=last.status, detail=detail)
                yield RequestOutcome(
                    request=request, folder=None, reply=None, failure=failure, seconds=0.0
                )
            return
        own = Workspace(input=_batch_input(workspace, waiting), output=own_output(workspace))
        begun = time.perf_counter()
        process = engine.start(model, own, limits, run_id=run_id, mode="batch", gpu=gpu, log=log)
        watch = Watch(own.output, limits.output_bytes, process)
        try:
            done, failure = yield from _follow(process, own, waiting, limits, watch, begun)
        finally:
            watch.end()
            process.kill()
            shutil.rmtree(own.input, ignore_errors=True)
        waiting = waiting[done:]
        if failure and waiting:
            raise_if_disk_full(workspace)
            yield RequestOutcome(
                request=waiting[0],
                folder=None,
                reply=None,
                failure=failure,
                seconds=time.perf_counter() - begun,
            )
            waiting = waiting[1:]
            lost, last = (0 if done else lost + 1), failure


def _follow(
    process: Process,
    own: Workspace,
    waiting: Sequence[Request],
    limits: Limits,
    watch: Watch,
    begun: float,
) -> Any:
    """Yield answers as they appear; returns how many, and why the container ended too soon."""
    done, since, patience = 0, begun, limits.startup + limits.timeout
    while True:
        running = process.running()
        while done < len(waiting) and _answered(own, waiting, done, running=running):
            now = time.perf_counter()
            yield _batch_answer(own, waiting[done], now - since)
            done, since, patience = done + 1, now, limits.timeout
        if not running:
            break
        if time.perf_counter() - since > patience:
            process.kill()
            return done, Failure(status=Status.TIMEOUT, detail=f"no answer after {patience:g} s")
        time.sleep(POLL_SECONDS)
    ended = process.finish(END_SECONDS)
    if watch.failure:
        return done, watch.failure
    if ended.code == 0:
        for request in waiting[done:]:
            yield _batch_answer(own, request, time.perf_counter() - since)
        return len(waiting), None
    return done, explain(ended)


def _answered(own: Workspace, waiting: Sequence[Request], number: int, *, running: bool) -> bool:
    """The reply is written last; without one, a model has answered when every mask is there and it has moved on."""
    folder = own.output / waiting[number].id
    if os.path.lexists(folder / "reply.json"):
        return True
    whole = all(
        os.path.lexists(folder / f"{target.name}.nii.gz") for target in waiting[number].targets
    )
    moved_on = number + 1 < len(waiting) and os.path.lexists(own.output / waiting[number + 1].id)
    return whole and (moved_on or not running)


def _batch_answer(own: Workspace, request: Request, seconds: float) -> RequestOutcome:
    folder = own.output / request.id
    body = read_untrusted(folder / "reply.json", REPLY_BYTES)
    reply, failure = None, None
    if isinstance(body, bytes):
        try:
            reply = parse_reply(loads(body.decode(errors="replace")))
        except WireError as error:
            failure = Failure(
                status=Status.ERROR, detail=f"reply.json does not follow the contract: {error}"
            )
    elif body.status != Status.MISSING:
        failure = body
    return RequestOutcome(
        request=request, folder=folder, reply=reply, failure=failure, seconds=seconds
    )


def _batch_input(workspace: Workspace, requests: Sequence[Request]) -> Path:
    """An input folder with these requests and their files alone, hard-linked."""
    folder = workspace.input.parent / f"batch-{secrets.token_hex(6)}"
    for request in requests:
        masks = [
            name
            for target in request.targets
            for name in (target.scribble, target.previous)
            if name
        ]
        for name in (
            f"requests/{request.id}.json",
            *(image.path for image in request.images.values()),
            *masks,
        ):
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.link(workspace.input / name, link)
    for path in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        path.chmod(0o755)
    return folder
