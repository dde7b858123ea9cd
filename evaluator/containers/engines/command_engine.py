"""The engine for container programs without a daemon: one class, a dialect for each program."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.containers.engines.command_spec import container_spec, relay_spec
from evaluator.containers.engines.image_user import kept_capabilities
from evaluator.containers.engines.orphans import is_orphan, is_removable
from evaluator.containers.engines.output_folder import open_output
from evaluator.containers.engines.probe import (
    NO_PROGRAM,
    NOT_CHECKED,
    PROBE_LIMITS,
    PROGRAMS,
    folder_fault,
    is_copied,
    probe_workspace,
)
from evaluator.containers.engines.process_output import LogFile
from evaluator.containers.engines.spec import NATIVE_LAYOUT, Caller
from evaluator.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.command_spec import ContainerSpec
    from evaluator.containers.engines.dialect import Dialect, ListedContainer
    from evaluator.containers.engines.piped_process import PipedProcess
    from evaluator.containers.engines.programs import Ended
    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.relay import Relay
    from evaluator.containers.engines.spec import (
        Capacity,
        ContainerLayout,
        Limits,
        Mode,
        Model,
        Workspace,
    )

logger = logging.getLogger(__name__)


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
        self._open_output(workspace, caller, model.layout)
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

    def _open_output(self, workspace: Workspace, caller: Caller, layout: ContainerLayout) -> None:
        if layout.image_user or not self.dialect.runs_as_caller:
            open_output(workspace, caller, layout)

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
        local = self.dialect.image(image)
        layout = model.layout if model else NATIVE_LAYOUT
        spec = container_spec(
            local.reference,
            workspace,
            limits,
            caller,
            layout=layout,
            weights=model.weights if model else None,
            volumes=local.volumes,
            name=name,
            run_id=run_id,
            interactive=interactive,
            command=command,
            gpu=gpu,
            entrypoint=entrypoint,
        )
        return replace(
            spec,
            image_user=local.user,
            capabilities=kept_capabilities(layout, local.user),
            working_dir=spec.working_dir or local.working_dir or None,
            gpu=self.dialect.gpu(gpu) if gpu else None,
        )

    def check_folders(
        self, image: str | None, workspace: Workspace, *, run_id: str, gpu: str | None
    ) -> bool:
        """See ``evaluator.containers.engines.Engine``."""
        caller = Caller.this_process()
        images = [*([image] if image else ()), *self.dialect.shell_images()]
        for reference in images:
            for program in PROGRAMS:
                with probe_workspace(workspace) as (folders, number):
                    self._open_output(folders, caller, NATIVE_LAYOUT)
                    spec = self._spec(
                        reference,
                        folders,
                        PROBE_LIMITS,
                        caller,
                        name=f"umd-probe-{secrets.token_hex(6)}",
                        run_id=run_id,
                        gpu=gpu,
                        entrypoint=tuple(program),
                    )
                    ended = self.dialect.run(spec, PROBE_LIMITS.timeout)
                    if ended.code == 0 and is_copied(folders, number):
                        return True
                    if ended.code != 0 and any(words in ended.message for words in NO_PROGRAM):
                        continue
                    raise HostError(self._fault(folders, ended))
        logger.warning(NOT_CHECKED)
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
        containers = self.dialect.containers()
        return self._remove(
            [entry for entry in containers if is_removable(entry.labels, entry.created, run_id)]
        )

    def orphans(self) -> list[str]:
        """See ``evaluator.containers.engines.Engine``."""
        return [entry.name for entry in self._orphans()]

    def remove_orphans(self) -> list[str]:
        """Remove them; returns their names."""
        return self._remove(self._orphans())

    def images(self) -> list[str]:
        """Images of this project, which have a shell."""
        return self.dialect.shell_images()

    def _remove(self, containers: list[ListedContainer]) -> list[str]:
        for entry in containers:
            self.dialect.remove(entry.name)
        return [entry.name for entry in containers]

    def _orphans(self) -> list[ListedContainer]:
        return [entry for entry in self.dialect.containers() if is_orphan(entry.labels)]
