"""Start a model, and tell its fault from the host's where the engine refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.containers.contracts import contract_of
from evaluator.containers.engines.spec import RefusedStartError
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.answers import StartHistory
    from evaluator.containers.engines import Engine, Process
    from evaluator.containers.engines.spec import Limits, Mode, Model, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStarter:
    """A model that can be started on one engine, within its limits."""

    engine: Engine
    model: Model
    limits: Limits
    #: of the run, by which its containers are found again
    run_id: str
    #: UUID of the GPU; None: none
    gpu: str | None = None
    #: receives what the model prints
    log: Path
    history: StartHistory

    def start(self, workspace: Workspace, mode: Mode) -> Process | Failure:
        """Start the model; a Failure if the engine refuses its container.

        Args:
            workspace: the folders that the container sees.
            mode: "batch" or "serve".

        Raises:
            HostError: containers cannot use the evaluator's folders, or the engine is gone.
        """
        if self.gpu not in self.history.checked_gpus:
            self._check_folders(workspace)
            self.history.checked_gpus.add(self.gpu)
        try:
            return self.engine.start(
                self.model,
                workspace,
                self.limits,
                run_id=self.run_id,
                mode=mode,
                command=contract_of(self.model.card).command(mode),
                gpu=self.gpu,
                log=self.log,
            )
        except RefusedStartError as error:
            self.engine.check_folders(self.model.image, workspace, run_id=self.run_id, gpu=self.gpu)
            detail = f"the model could not be set up: the engine refused its container: {error}"
            return Failure(status=Status.CRASHED, detail=detail[:2000])

    def _check_folders(self, workspace: Workspace) -> None:
        self.engine.check_folders(self.model.image, workspace, run_id=self.run_id, gpu=self.gpu)
