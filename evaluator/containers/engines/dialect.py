"""What differs between container programs without a daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers.engines.command_spec import ContainerSpec
    from evaluator.containers.engines.piped_process import PipedProcess
    from evaluator.containers.engines.process_output import LogFile
    from evaluator.containers.engines.programs import Ended
    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.spec import Capacity, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """An image as a container program runs it."""

    #: what the program calls it
    reference: str
    #: volumes that it declares
    volumes: tuple[str, ...] = ()
    #: its user, if it is known as numbers
    user: tuple[int, int] | None = None
    working_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedContainer:
    """A container of an evaluator, running or not."""

    name: str
    labels: Mapping[str, str]
    #: in seconds since 1970; None: unknown
    created: float | None = None


class Dialect(Protocol):
    """What differs between container programs."""

    #: of the engine
    name: str
    #: whether a container's user is always the caller
    runs_as_caller: bool

    def about(self) -> dict[str, str]:
        """Versions, for provenance."""

    def capacity(self) -> Capacity:
        """Memory and cores of this machine, and what can be limited."""

    def unlimited(self) -> tuple[str, ...]:
        """What is not limited, a sentence each."""

    def image(self, reference: str) -> LocalImage:
        """An image of this machine.

        Raises:
            HostError: it is not there any more.
        """

    def gpu(self, uuid: str) -> str:
        """What the program calls a GPU.

        Raises:
            HostError: it cannot give it to a container.
        """

    def start(self, spec: ContainerSpec, log: LogFile, mode: Mode) -> PipedProcess:
        """Start a container.

        Raises:
            RefusedStartError: the program refuses it.
            HostError: the program failed.
        """

    def run(self, spec: ContainerSpec, timeout: float) -> Ended:
        """Run a container to its end and remove it."""

    def container_of(self, process: Process) -> str:
        """The name of the container of a process that this dialect started.

        Raises:
            UserError: no other container can share its network.
        """

    def containers(self) -> list[ListedContainer]:
        """All containers of evaluators."""

    def remove(self, name: str) -> None:
        """Remove a container, whatever its state."""

    def shell_images(self) -> list[str]:
        """Images of this project, which have a shell."""
