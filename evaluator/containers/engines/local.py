"""The engine without containers: an adapter as a subprocess. It isolates nothing and says so."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from evaluator.containers.engines.abilities import Abilities
from evaluator.containers.engines.piped_process import PipedProcess
from evaluator.containers.engines.process_output import LogFile
from evaluator.containers.engines.spec import Capacity
from evaluator.errors import HostError, UserError
from zoo_sdk.gpu import GIVEN

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.protocol import Process
    from evaluator.containers.engines.relay import Relay
    from evaluator.containers.engines.spec import Limits, Mode, Model, Workspace


class LocalEngine:
    """Runs ``zoo_sdk.serve`` with this Python, as the caller, with all that the caller can read."""

    name = "local"
    isolates = False
    sessions = True

    def capacity(self) -> Capacity:
        """Of this machine; nothing limits the cores of a process."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Capacity(memory=memory, cores=os.cpu_count() or 1, limits_cores=False)

    def unlimited(self) -> tuple[str, ...]:
        """All limits: a process of the caller takes what it wants."""
        return Abilities(memory=False, processes=False, cores=False, temporary=False).unlimited(
            "without a container"
        )

    def about(self) -> dict[str, str]:
        """The interpreter's version."""
        return {"python": sys.version.split()[0]}

    def start(
        self,
        model: Model,
        workspace: Workspace,
        limits: Limits,  # noqa: ARG002
        *,
        run_id: str,  # noqa: ARG002
        mode: Mode,
        command: list[str],
        gpu: str | None,
        log: Path,
    ) -> PipedProcess:
        """Start the adapter; raises UserError for a model that has none."""
        if model.adapter is None:
            raise UserError(
                f"model {model.card.name} has no adapter.py, so that it runs in a container only"
            )
        arguments = [sys.executable, "-m", "zoo_sdk.serve", str(model.adapter), *command]
        environment = os.environ | {
            "UMD_INPUT": str(workspace.input),
            "UMD_OUTPUT": str(workspace.output),
        }
        environment |= {"CUDA_VISIBLE_DEVICES": gpu or "", GIVEN: gpu or ""} | (
            {"UMD_WEIGHTS": str(model.weights)} if model.weights else {}
        )
        if model.modules:
            further = [*map(str, model.modules), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, further))
        try:
            return PipedProcess(arguments, LogFile(log), mode, environment=environment)
        except OSError as error:
            raise HostError(
                f"could not start {model.card.name}: {error.strerror}; run again"
            ) from error

    def start_relay(
        self,
        model: Process,  # noqa: ARG002
        relay: Relay,  # noqa: ARG002
        *,
        run_id: str,  # noqa: ARG002
        log: Path,  # noqa: ARG002
    ) -> PipedProcess:
        """Never called: a server is an image, and this engine runs none."""
        raise UserError("a model that is a server runs in a container only; use --engine docker")

    def check_folders(
        self,
        image: str | None,  # noqa: ARG002
        workspace: Workspace,  # noqa: ARG002
        *,
        run_id: str,  # noqa: ARG002
        gpu: str | None,  # noqa: ARG002
    ) -> bool:
        """Nothing to check: the model sees the evaluator's own folders."""
        return True

    def sweep(self, run_id: str) -> list[str]:  # noqa: ARG002
        """Nothing: a session ends with its input, a batch with its requests."""
        return []

    def orphans(self) -> list[str]:
        """Nothing can be found."""
        return []
