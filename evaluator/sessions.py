"""Ask a model: one request at a time in a session that stays alive, or many in a batch.

Whatever the model does ends in one ``Answer`` for each request, with the evaluator's own clock beside it. A session
that dies is started again for the next request; a batch that dies goes on without the request that it died of.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evaluator.engines.spec import Workspace
from evaluator.errors import HostFault
from evaluator.types import Failure, Status
from evaluator.volumes.gate import read_untrusted
from zoo_sdk.wire import Reply, WireError, loads, parse_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.engines import Engine, Process
    from evaluator.engines.spec import Exit, Limits, Model
    from zoo_sdk.wire import Request

#: after so many starts in a row that gave no answer, the model is not started again
MOST_LOST_STARTS = 3
REPLY_BYTES = 2**20
FILES_AT_ONCE = 100_000
LEAST_FREE_BYTES = 64 * 2**20
POLL_SECONDS = 0.05
END_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request: the folder with the model's files, or one failure for all of its targets."""

    request: Request
    folder: Path | None
    reply: Reply | None
    failure: Failure | None
    #: from the question to the answer, by the evaluator's clock; of a batch's first request it includes the load
    seconds: float
    #: from the start of the container until it was ready, if this request had to wait for that
    load_seconds: float | None = None


class Conversation:
    """``with Conversation(...) as talk: talk.ask(request)``: one container for as long as it lives. For one thread."""

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
        self._start_model = lambda own: engine.start(model, own, limits, run_id=run_id, mode="serve", gpu=gpu, log=log)
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

    def ask(self, request: Request) -> Answer:
        """Ask and wait, at most the limit; raises HostFault when it is the machine that failed."""
        load_seconds = None
        if self._open is None:
            if self._lost >= MOST_LOST_STARTS:
                return Answer(request=request, folder=None, reply=None, failure=self._last, seconds=0.0)
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
        return Answer(
            request=request, folder=folder, reply=said, failure=None, seconds=seconds, load_seconds=load_seconds
        )

    def _end(self, request: Request, failure: Failure, seconds: float, load_seconds: float | None) -> Answer:
        assert self._open
        self._open.close(0)
        self._open = None
        self._lost += 1
        self._last = Failure(
            status=failure.status,
            detail=f"not started again after {MOST_LOST_STARTS} starts without an answer; the last: {failure.detail}",
        )
        _blame_host(self._workspace)
        return Answer(
            request=request, folder=None, reply=None, failure=failure, seconds=seconds, load_seconds=load_seconds
        )


class _Open:
    """One start of a session: its process, its own output folder, and the watch over that folder."""

    def __init__(self, start: Any, workspace: Workspace, output_bytes: int) -> None:
        self.workspace = Workspace(input=workspace.input, output=_own_output(workspace))
        self._process: Process = start(self.workspace)
        self._watch = _Watch(self.workspace.output, output_bytes, self._process)

    def wait_until_ready(self, timeout: float) -> Failure | None:
        """None when it is; else why not."""
        said = self._read(timeout, "the model was not ready")
        if isinstance(said, Failure):
            return said
        if said.get("ready") is True:
            return None
        kind = Status.OUT_OF_MEMORY if said.get("kind") == "out-of-memory" else Status.CRASHED
        return Failure(
            status=kind, detail=f"the model could not be set up: {said.get('kind')}: {said.get('message')}"[:2000]
        )

    def ask(self, name: str, timeout: float) -> Reply | Failure:
        """Send a request's id and wait for the reply."""
        self._process.send_line(name)
        said = self._read(timeout, "no answer")
        if isinstance(said, Failure):
            return said
        try:
            reply = parse_reply(said)
        except WireError as error:
            return Failure(status=Status.ERROR, detail=f"the reply does not follow the contract: {error}")
        if reply.id != name:
            return Failure(status=Status.ERROR, detail=f"asked for {name}, the model replied to {reply.id!r}"[:500])
        return reply

    def close(self, patience: float) -> None:
        """End the process; its answers stay until the workspace goes."""
        self._watch.end()
        if patience:
            self._process.finish(patience)
        else:
            self._process.kill()

    def _read(self, timeout: float, what: str) -> dict[str, Any] | Failure:
        try:
            line = self._process.read_line(timeout)
        except EOFError:
            return self._watch.failure or explain(self._process.finish(END_SECONDS))
        if line is None:
            return Failure(status=Status.TIMEOUT, detail=f"{what} after {timeout:g} s")
        try:
            body = loads(line)
            if not isinstance(body, dict):
                raise WireError("not an object")
        except WireError as error:
            return Failure(status=Status.ERROR, detail=f"a line that is no reply ({error}): {line[:200]}")
        return body


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
) -> Iterator[Answer]:
    """One answer for each request, in name order, from as few container starts as can be.

    The contract has the model answer in name order; so when it dies or hangs, the first request without an answer is
    what it died of. That one fails, and the rest is asked again in a new container.
    """
    waiting = sorted(requests, key=lambda request: request.id)
    lost, last = 0, Failure(status=Status.CRASHED)
    while waiting:
        if lost >= MOST_LOST_STARTS:
            detail = f"not started again after {lost} starts without an answer; the last: {last.detail}"
            for request in waiting:
                failure = Failure(status=last.status, detail=detail)
                yield Answer(request=request, folder=None, reply=None, failure=failure, seconds=0.0)
            return
        own = Workspace(input=_batch_input(workspace, waiting), output=_own_output(workspace))
        begun = time.perf_counter()
        process = engine.start(model, own, limits, run_id=run_id, mode="batch", gpu=gpu, log=log)
        watch = _Watch(own.output, limits.output_bytes, process)
        try:
            done, failure = yield from _follow(process, own, waiting, limits, watch, begun)
        finally:
            watch.end()
            process.kill()
            shutil.rmtree(own.input, ignore_errors=True)
        waiting = waiting[done:]
        if failure and waiting:
            _blame_host(workspace)
            yield Answer(
                request=waiting[0], folder=None, reply=None, failure=failure, seconds=time.perf_counter() - begun
            )
            waiting = waiting[1:]
            lost, last = (0 if done else lost + 1), failure


def _follow(
    process: Process, own: Workspace, waiting: Sequence[Request], limits: Limits, watch: _Watch, begun: float
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
    whole = all(os.path.lexists(folder / f"{target.name}.nii.gz") for target in waiting[number].targets)
    moved_on = number + 1 < len(waiting) and os.path.lexists(own.output / waiting[number + 1].id)
    return whole and (moved_on or not running)


def _batch_answer(own: Workspace, request: Request, seconds: float) -> Answer:
    folder = own.output / request.id
    body = read_untrusted(folder / "reply.json", REPLY_BYTES)
    reply, failure = None, None
    if isinstance(body, bytes):
        try:
            reply = parse_reply(loads(body.decode(errors="replace")))
        except WireError as error:
            failure = Failure(status=Status.ERROR, detail=f"reply.json does not follow the contract: {error}")
    elif body.status != Status.MISSING:
        failure = body
    return Answer(request=request, folder=folder, reply=reply, failure=failure, seconds=seconds)


def explain(ended: Exit) -> Failure:
    """The failure that an end of the process is."""
    if ended.out_of_memory:
        return Failure(status=Status.OUT_OF_MEMORY, detail="the container used up its memory and was killed")
    last = ended.tail.strip().splitlines()[-5:]
    said = ("; it printed: " + " | ".join(last)) if last else "; it printed nothing"
    return Failure(status=Status.CRASHED, detail=f"the model ended with exit code {ended.code}{said}"[:2000])


class _Watch:
    """Looks at what lies in an output folder, and kills the process when it is too much."""

    def __init__(self, folder: Path, limit: int, process: Process) -> None:
        self.failure: Failure | None = None
        self._folder, self._limit, self._process = folder, limit, process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            files, size = _count(self._folder)
            if size > self._limit or files > FILES_AT_ONCE:
                self.failure = Failure(
                    status=Status.TOO_LARGE,
                    detail=f"{size} bytes in {files} files in /output; {self._limit} are allowed",
                )
                with contextlib.suppress(HostFault):  # whoever reads from the process meets the same
                    self._process.kill()
                return


def _count(folder: Path) -> tuple[int, int]:
    files, size, stack = 0, 0, [folder]
    while stack and files <= FILES_AT_ONCE:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    files += 1
                    about = entry.stat(follow_symlinks=False)
                    size += about.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(Path(entry.path))
        except OSError:
            continue  # a folder that went away
    return files, size


def _own_output(workspace: Workspace) -> Path:
    folder = workspace.output / secrets.token_hex(6)
    folder.mkdir(parents=True)
    return folder


def _batch_input(workspace: Workspace, requests: Sequence[Request]) -> Path:
    """An input folder with these requests and their files alone, hard-linked."""
    folder = workspace.input.parent / f"batch-{secrets.token_hex(6)}"
    for request in requests:
        masks = [name for target in request.targets for name in (target.scribble, target.previous) if name]
        for name in (f"requests/{request.id}.json", *(image.path for image in request.images.values()), *masks):
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.link(workspace.input / name, link)
    for path in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        path.chmod(0o755)
    return folder


def _blame_host(workspace: Workspace) -> None:
    """A model that fails on a full disk is not to blame."""
    free = shutil.disk_usage(workspace.output).free
    if free < LEAST_FREE_BYTES:
        raise HostFault(f"only {free // 2**20} MiB are free at {workspace.output}; free some space and run again")
