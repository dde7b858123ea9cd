"""The engine for container programs without a daemon: one class, a dialect for each program."""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from evaluator.containers.engines.command_spec import (
    HOST_LABEL,
    PID_LABEL,
    RUN_LABEL,
    STARTED_LABEL,
    container_spec,
    relay_spec,
)
from evaluator.containers.engines.guard import start_of
from evaluator.containers.engines.probe import (
    NO_PROGRAM,
    PROGRAMS,
    folder_fault,
    is_copied,
    probe_workspace,
)
from evaluator.containers.engines.process_output import LogFile
from evaluator.containers.engines.spec import Caller, Limits
from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evaluator.containers.engines.command_spec import ContainerSpec
    from evaluator.containers.engines.piped_process import PipedProcess
    from evaluator.containers.engines.programs import Ended
    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.relay import Relay
    from evaluator.containers.engines.spec import Capacity, Mode, Model, Workspace

logger = logging.getLogger(__name__)

PROBE_SECONDS, PROBE_BYTES = 60.0, 256 * 2**20


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


class CommandLineEngine:
    """See ``evaluator.containers.engines.Engine``."""

    isolates = True
    sessions = True

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.name = dialect.name

    def capacity(self) -> Capacity:
        """See ``evaluator.containers.engines.Engine``."""
        return self.dialect.capacity()

    def about(self) -> dict[str, str]:
        """See ``evaluator.containers.engines.Engine``."""
        return self.dialect.about()

    def unlimited(self) -> tuple[str, ...]:
        """See ``evaluator.containers.engines.Engine``."""
        return self.dialect.unlimited()

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
    ) -> PipedProcess:
        """See ``evaluator.containers.engines.Engine``."""
        caller = Caller.this_process()
        if model.layout.image_user:
            # the image's user may be another one, and without capabilities root overrides no modes
            for folder in filter(None, (workspace.output, workspace.cache)):
                folder.chmod(0o777)
        else:
            self._give(workspace, caller)
        spec = self._spec(
            str(model.image),
            workspace,
            limits,
            caller,
            model=model,
            name=f"umd-{model.card.name}-{secrets.token_hex(6)}",
            run_id=run_id,
            interactive=mode == "serve",
            command=tuple(command),
            gpu=gpu,
        )
        for path in spec.volumes:
            logger.warning(
                "image %s declares the volume %s; it is an empty temporary folder",
                model.image,
                path,
            )
        return self.dialect.start(spec, LogFile(log), mode)

    def start_relay(self, model: Process, relay: Relay, *, run_id: str, log: Path) -> PipedProcess:
        """See ``evaluator.containers.engines.Engine``."""
        spec = relay_spec(
            relay,
            self.dialect.container_of(model),
            Caller.this_process(),
            name=f"umd-relay-{secrets.token_hex(6)}",
            run_id=run_id,
        )
        return self.dialect.start(spec, LogFile(log), "serve")

    def _give(self, workspace: Workspace, caller: Caller) -> None:
        """Let the container's user write into the output folder."""
        if caller.uid == 0 and not self.dialect.runs_as_caller:
            os.chown(workspace.output, *caller.container_user)

    def _spec(
        self,
        image: str,
        workspace: Workspace,
        limits: Limits,
        caller: Caller,
        *,
        model: Model | None = None,
        name: str,
        run_id: str,
        interactive: bool = False,
        command: tuple[str, ...] = (),
        gpu: str | None,
        entrypoint: tuple[str, ...] | None = None,
    ) -> ContainerSpec:
        from dataclasses import replace

        local = self.dialect.image(image)
        layout = {"layout": model.layout} if model else {}
        spec = container_spec(
            local.reference,
            workspace,
            limits,
            caller,
            weights=model.weights if model else None,
            volumes=local.volumes,
            name=name,
            run_id=run_id,
            interactive=interactive,
            command=command,
            gpu=gpu,
            entrypoint=entrypoint,
            **layout,
        )
        return replace(
            spec,
            image_user=local.user,
            working_dir=spec.working_dir or local.working_dir or None,
            gpu=self.dialect.gpu(gpu) if gpu else None,
        )

    def check_folders(
        self, image: str | None, workspace: Workspace, *, run_id: str, gpu: str | None
    ) -> bool:
        """See ``evaluator.containers.engines.Engine``."""
        caller = Caller.this_process()
        limits = Limits(timeout=PROBE_SECONDS, memory=PROBE_BYTES)
        images = [*([image] if image else ()), *self.dialect.shell_images()]
        for reference in images:
            for program in PROGRAMS:
                with probe_workspace(workspace) as (folders, number):
                    self._give(folders, caller)
                    spec = self._spec(
                        reference,
                        folders,
                        limits,
                        caller,
                        name=f"umd-probe-{secrets.token_hex(6)}",
                        run_id=run_id,
                        gpu=gpu,
                        entrypoint=tuple(program),
                    )
                    ended = self.dialect.run(spec, PROBE_SECONDS)
                    if ended.code == 0 and is_copied(folders, number):
                        return True
                    if ended.code != 0 and any(words in ended.message for words in NO_PROGRAM):
                        continue
                    raise HostError(self._fault(folders, ended))
        logger.warning(
            "not checked whether containers can use the evaluator's folders: no image here has a "
            "shell or Python"
        )
        return False

    def _fault(self, folders: Workspace, ended: Ended) -> str:
        reason = folder_fault(folders, ended.code)
        if reason:
            return f"{self.name}: {reason}; no model was asked; see: umd doctor"
        return (
            f"{self.name} refuses a plain container: {ended.reason}; no model was asked; "
            "see: umd doctor"
        )

    def sweep(self, run_id: str) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        containers = [entry for entry in self._orphans() if entry.labels.get(RUN_LABEL) == run_id]
        return self._remove(containers)

    def orphans(self) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        return [entry.name for entry in self._orphans()]

    def remove_orphans(self) -> list[str]:
        """Remove them; returns their names."""
        return self._remove(list(self._orphans()))

    def images(self) -> list[str]:
        """Images of this project, which have a shell."""
        return self.dialect.shell_images()

    def _remove(self, containers: list[ListedContainer]) -> list[str]:
        for entry in containers:
            self.dialect.remove(entry.name)
        return [entry.name for entry in containers]

    def _orphans(self) -> Iterator[ListedContainer]:
        """Containers of this machine whose evaluator is gone."""
        host = os.uname().nodename
        for entry in self.dialect.containers():
            pid = entry.labels.get(PID_LABEL, "0")
            started = start_of(int(pid)) if pid.isdigit() else ""
            alive = started != "" and entry.labels.get(STARTED_LABEL, started) == started
            if entry.labels.get(HOST_LABEL) == host and not alive:
                yield entry
