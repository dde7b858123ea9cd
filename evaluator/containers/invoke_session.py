"""A session with a model that is a server: Grand Challenge's "invoke", reached without a network.

The model's container has no network. A second container, the relay, shares its loopback, asks the
server and moves each answer out of the model's output folder (``relay_program``). The folders of
one start, besides the input, which holds the files of the present request::

    output/    /output of the model, empty before each request
    answers/   what the model wrote, by request
    late/      what it wrote after an answer, which is discarded

Docker and Podman can do this on every host: no bridge, no port of the host, no program in the
model's image, and no right of the evaluator's user but to start containers.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.containers.answers import new_output
from evaluator.containers.batch import fill_input
from evaluator.containers.engines.relay import Relay
from evaluator.containers.engines.spec import RefusedStartError, Workspace
from evaluator.containers.safe_removal import discard, discard_rest
from evaluator.containers.session import ModelSession
from evaluator.errors import HostError, UserError
from evaluator.types import Failure, Status
from zoo_sdk.wire import Reply

if TYPE_CHECKING:
    from evaluator.containers.engines import Process
    from evaluator.containers.engines.spec import Exit
    from evaluator.containers.requests import StagedRequest

PROGRAM = Path(__file__).with_name("relay_program.py")
#: the platform waits so long for a server, seconds
MOST_STARTUP = 300.0
#: time for the start of the relay
RELAY_SECONDS = 60.0
#: how often a server that works is looked after, seconds
LOOK_SECONDS = 1.0
#: a lost connection is the end of the container, if it ends within this time, seconds
DYING_SECONDS = 3.0


class InvokeSession(ModelSession):
    """``with InvokeSession(...) as session: session.ask(request)``. For one thread."""

    def _start(self) -> Failure | None:
        failure = super()._start()
        if failure and self._process and not self._process.process.running():
            # its end is the reason that it was not healthy
            return self._process.ended()
        return failure

    @property
    def _startup_seconds(self) -> float:
        # the relay, which has the limit and says why a server is not ready, takes time to start
        return min(self._limits.startup, MOST_STARTUP) + RELAY_SECONDS

    def _open(self) -> tuple[Process, Workspace] | Failure:
        folder = new_output(self._workspace)
        for name in ("output", "answers", "late"):
            (folder / name).mkdir()
        # beside the requests, whose files are linked into it: the output may be on another disk
        shown = self._workspace.input.parent / f"served-{folder.name}"
        shown.mkdir()
        workspace = Workspace(input=shown, output=folder / "output")
        model = self._starter.start(workspace, "batch")
        if isinstance(model, Failure):
            return model
        try:
            return RelayedProcess(model, self._start_relay(model, folder)), workspace
        except BaseException:
            model.kill()
            raise

    def _start_relay(self, model: Process, folder: Path) -> Process | None:
        """The relay to a model; None if the model has ended already."""
        starter = self._starter
        if starter.model.relay_image is None:
            raise UserError(f"model {starter.model.card.name} was prepared without a relay")
        seconds = min(self._limits.startup, MOST_STARTUP)
        program = PROGRAM.read_text(encoding="utf-8")
        relay = Relay(
            image=starter.model.relay_image,
            command=("python3", "-c", program, f"{seconds:g}"),
            folder=folder,
        )
        try:
            return starter.engine.start_relay(model, relay, run_id=starter.run_id, log=starter.log)
        except RefusedStartError as error:
            if not model.running():
                return None
            raise HostError(
                f"the container engine refuses the relay to model {starter.model.card.name}: "
                f"{error}; see: umd doctor"
            ) from error

    def _provide(self, request: StagedRequest) -> None:
        assert self._process
        folders = self._process.workspace
        shown = folders.input
        discard_rest(shown, ())
        fill_input(shown, self._workspace, [request], writable=False)
        answer = self._output_of(request)
        discard(answer)
        answer.mkdir()
        discard_rest(folders.output.parent / "late", ())

    def _output_of(self, request: StagedRequest) -> Path:
        assert self._process
        return self._process.workspace.output.parent / "answers" / request.id

    def _accept(self, reply: Reply) -> Reply | Failure:
        """The failure that the relay reports, or an empty reply."""
        assert self._process
        process, notes = self._process.process, reply.notes
        if "status" in notes:
            detail = f"POST /invoke answered {notes['status']}, not 201: {notes.get('body', '')}"
            return Failure(status=Status.ERROR, detail=detail[:2000])
        if "lost" not in notes:
            return Reply()
        end = time.monotonic() + DYING_SECONDS
        while process.running() and time.monotonic() < end:
            time.sleep(0.05)
        if not process.running():
            return self._process.ended()
        detail = f"the server closed the connection without an answer ({notes['lost']})"
        return Failure(status=Status.CRASHED, detail=detail)


class RelayedProcess:
    """A server's process, whose lines are those of its relay."""

    def __init__(self, model: Process, relay: Process | None) -> None:
        """``relay`` is None if the model ended before the relay was started."""
        self._model, self._relay = model, relay

    def read_line(self, timeout: float) -> str | None:
        """See ``evaluator.containers.engines.Process``; EOFError when the model has ended."""
        if self._relay is None:
            raise EOFError
        end = time.monotonic() + timeout
        while True:
            ended = not self._model.running()
            try:
                line = self._relay.read_line(min(LOOK_SECONDS, max(end - time.monotonic(), 0)))
            except EOFError:
                if self._model.running():
                    tail = self._relay.kill().tail
                    raise HostError(
                        f"the relay to the model ended; it printed: {tail or 'nothing'}; run again"
                    ) from None
                raise
            if line is not None:
                return line
            if ended:
                raise EOFError
            if time.monotonic() >= end:
                return None

    def send_line(self, line: str) -> None:
        """See ``evaluator.containers.engines.Process``."""
        if self._relay:
            self._relay.send_line(line)

    def running(self) -> bool:
        """See ``evaluator.containers.engines.Process``."""
        return self._model.running()

    def peak_memory(self) -> int | None:
        """See ``evaluator.containers.engines.Process``."""
        return self._model.peak_memory()

    def unlinked_bytes(self, device: int) -> int:
        """See ``evaluator.containers.engines.Process``."""
        return self._model.unlinked_bytes(device)

    def finish(self, timeout: float) -> Exit:  # noqa: ARG002 - a server does not end by itself
        """See ``evaluator.containers.engines.Process``."""
        return self.kill()

    def kill(self) -> Exit:
        """See ``evaluator.containers.engines.Process``."""
        try:
            # the model first: its exit code is asked for, and the relay's is of no interest
            return self._model.kill()
        finally:
            if self._relay:
                self._relay.kill()
