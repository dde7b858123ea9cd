"""How a model is reached in a run: by which engine, under which limits, in a session or batches."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from evaluator.containers import StartHistory, answer_batch, is_server, session_of
from evaluator.containers.contracts import contract_of
from evaluator.containers.limited_output import limited_output
from evaluator.errors import UserError
from evaluator.evaluation.task_scheduler import OPEN, run_in_batches, run_in_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from evaluator.containers import RequestOutcome
    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Limits, Model, Workspace
    from evaluator.containers.requests import StagedRequest
    from evaluator.evaluation.task_scheduler import Evaluation
    from evaluator.types import RoundPlan

logger = logging.getLogger(__name__)

#: more scans at once only take memory: they do not keep one model busier
MAX_THREADS = 4
#: scans that are staged at once when a model gets its requests in batches
SCANS_PER_BATCH = 64


class _Placement(TypedDict):
    run_id: str
    gpu: str | None
    log: Path
    history: StartHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConnection:
    """A model that can answer requests."""

    engine: Engine
    model: Model
    limits: Limits
    #: of the run, by which its containers are found again
    run_id: str
    log: Path
    #: whether the model stays alive between requests
    session: bool
    #: scans that are read, corrected and scored at once while the model works
    threads: int
    #: set when the work on one GPU fails; the others then end as well
    stop: threading.Event = field(default_factory=threading.Event)
    #: when the model is given up; sessions and batches share it
    history: StartHistory = field(default_factory=StartHistory)
    #: whether containers write into a file system of limited size
    output_enforced: bool = False
    #: is told "watched: " and why, where ``output_enforced`` does not hold for a worker
    output_watched: Callable[[str], None] = lambda _: None

    def answer_all(
        self,
        evaluations: Iterator[Evaluation],
        workspace: Workspace,
        *,
        gpu: str | None,
        session: bool,
        at_once: int = SCANS_PER_BATCH,
    ) -> None:
        """Finish all evaluations, in one session or in batches.

        Args:
            evaluations: what is evaluated.
            workspace: the folders that containers see.
            gpu: UUID of the GPU; None: none.
            session: one session, or batches; a server is always asked in a session.
            at_once: scans of one batch.
        """
        size = self.limits.output_bytes
        with limited_output(
            workspace, size, enforced=self.output_enforced, watched=self.output_watched
        ) as limited:
            self._answer_all(evaluations, limited, gpu=gpu, session=session, at_once=at_once)

    def _answer_all(
        self,
        evaluations: Iterator[Evaluation],
        workspace: Workspace,
        *,
        gpu: str | None,
        session: bool,
        at_once: int,
    ) -> None:
        placement: _Placement = {
            "run_id": self.run_id,
            "gpu": gpu,
            "log": self.log,
            "history": self.history,
        }
        card = self.model.card
        if session or is_server(card):
            with session_of(card)(
                self.engine, self.model, workspace, self.limits, **placement
            ) as model:
                run_in_session(
                    evaluations,
                    model.ask,
                    threads=self.threads,
                    stop=self.stop,
                    # a server may keep a case's state from round to round
                    at_once=1 if is_server(card) else OPEN,
                    begin=model.begin,
                )
            return

        def ask_all(requests: Sequence[StagedRequest]) -> Iterator[RequestOutcome]:
            return answer_batch(
                self.engine, self.model, workspace, requests, self.limits, **placement
            )

        run_in_batches(evaluations, ask_all, threads=self.threads, stop=self.stop, at_once=at_once)


def connect(
    engine: Engine,
    model: Model,
    rounds: RoundPlan,
    *,
    run_id: str,
    log: Path,
    limits: Limits,
    threads: int | None,
    batch: bool,
    history: StartHistory | None = None,
    output_enforced: bool = False,
    output_watched: Callable[[str], None] = lambda _: None,
) -> ModelConnection:
    """The connection to a model; a message says why it is not a session where the card offers one.

    Args:
        engine: runs the model.
        model: the model.
        rounds: of the protocol.
        run_id: of the run.
        log: receives what the model prints.
        limits: of the model's containers.
        threads: scans that are worked on at once; None: by the machine's cores.
        batch: use batches even where a session is possible.
        history: of the model's starts in this run; None: a new one.
        output_enforced: whether containers write into a file system of limited size.
        output_watched: is told why a worker's containers do not, where they should.

    Raises:
        UserError: the model is a server, and batches are asked for or all that the engine can do.
    """
    card = model.card
    offered = card.session and "serve" in contract_of(card).modes
    session = offered and engine.sessions and not batch
    if is_server(card):
        _require_session(card.name, engine, batch=batch)
        session = True
    elif session and rounds.count > 1 and not card.many_rounds:
        logger.info(
            "model %s cannot be refined: each round of all scans goes to it in one batch",
            card.name,
        )
        session = False
    elif offered and not session and not batch:
        logger.info("engine %s cannot attach to a container: requests go in batches", engine.name)
    return ModelConnection(
        engine=engine,
        model=model,
        limits=limits,
        run_id=run_id,
        log=log,
        session=session,
        threads=threads or min(max(os.cpu_count() or 1, 2), MAX_THREADS),
        history=history or StartHistory(),
        output_enforced=output_enforced,
        output_watched=output_watched,
    )


def _require_session(name: str, engine: Engine, *, batch: bool) -> None:
    """Raise UserError where a model that is a server cannot be asked."""
    if batch:
        raise UserError(f"model {name} is a server and cannot be run with --batch; leave it out")
    if not engine.sessions:
        raise UserError(
            f"model {name} is a server, and engine {engine.name} cannot attach to the relay that "
            "asks it; use --engine docker"
        )
