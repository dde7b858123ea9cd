"""What an engine and a running model can do, whichever engine it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.relay import Relay
    from evaluator.containers.engines.spec import (
        Capacity,
        Exit,
        Limits,
        Mode,
        Model,
        Workspace,
    )


class Process(Protocol):
    """A running model. Every method may raise HostError when the engine itself is gone."""

    def read_line(self, timeout: float) -> str | None:
        """The next line of standard output; None when ``timeout`` seconds pass first.

        Raises EOFError at its end.
        """

    def send_line(self, line: str) -> None:
        """Write a line to standard input; a process that is gone is found out by ``read_line``."""

    def running(self) -> bool:
        """Is it still there."""

    def peak_memory(self) -> int | None:
        """Most bytes that its main process has held until now.

        None where this machine cannot tell.
        """

    def unlinked_bytes(self, device: int) -> int:
        """Bytes of files on a device that the model holds open and that have no name any more.

        0 where this machine cannot tell.
        """

    def finish(self, timeout: float) -> Exit:
        """Close its input and wait for its end; after ``timeout`` seconds it is killed.

        Leaves nothing behind.
        """

    def kill(self) -> Exit:
        """End it now. Leaves nothing behind."""


class Engine(Protocol):
    """What runs models on this machine."""

    name: str
    #: does it keep a model away from the machine, the network and other files
    isolates: bool
    #: can it hold a conversation over standard input and output
    sessions: bool

    def capacity(self) -> Capacity:
        """Memory and cores of the machine that runs the containers."""

    def unlimited(self) -> tuple[str, ...]:
        """Which limits of a container it cannot set on this machine, a sentence each."""

    def about(self) -> dict[str, str]:
        """Versions, for provenance."""

    def start(
        self,
        model: Model,
        workspace: Workspace,
        limits: Limits,
        *,
        run_id: str,
        mode: Mode,
        command: list[str],
        gpu: str | None,
        log: Path,
    ) -> Process:
        """Start the model in a container, or as a process.

        Args:
            model: what to run.
            workspace: the folders that it sees.
            limits: what it may take.
            run_id: by which its containers are found again.
            mode: "serve" keeps standard input and output open for a session.
            command: arguments, from the model's contract.
            gpu: UUID of the GPU that it may use; None: none.
            log: file that receives everything it prints, except a session's replies.

        Raises:
            RefusedStartError: the engine refuses this container; ``check_folders`` tells whether
                it refuses every container.
            HostError: the engine failed, which is not the model's fault.
        """

    def start_relay(self, model: Process, relay: Relay, *, run_id: str, log: Path) -> Process:
        """Start a program of the evaluator in the network of a model's container.

        Args:
            model: the model's process, started by this engine.
            relay: the program; its standard input and output are open, as in a session.
            run_id: by which its container is found again.
            log: file that receives what it prints on standard error.

        Raises:
            RefusedStartError: the engine refuses the container, as when the model's has ended.
            HostError: the engine failed.
        """

    def check_folders(
        self, image: str | None, workspace: Workspace, *, run_id: str, gpu: str | None
    ) -> bool:
        """Check that a container reads the evaluator's files and writes files that it sees.

        Args:
            image: the image of the model.
            workspace: the folders of a run; the check uses new folders beside them.
            run_id: by which the container is found again.
            gpu: UUID of the GPU that the container gets; None: none.

        Returns:
            False if it cannot be checked, as no image has a program for it.

        Raises:
            HostError: it does not, with the cause; no model can be asked.
        """

    def sweep(self, run_id: str) -> list[str]:
        """Remove what killed evaluators left: of this run, and of others after a minute.

        Containers of an evaluator that lives, or that runs on another machine, stay.

        Returns:
            Names of the containers.
        """

    def orphans(self) -> list[str]:
        """Names of containers whose evaluator on this machine is gone."""
