"""How a model is reached in a run: through which engine, under which limits, in a session or in batches."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.containers import ModelSession, answer_batch
from evaluator.containers.engines.spec import Limits
from evaluator.evaluation.task_scheduler import run_in_batches, run_in_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.containers import RequestOutcome
    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Model, Workspace
    from evaluator.evaluation.task_scheduler import Talk
    from evaluator.types import RoundPlan
    from zoo_sdk.wire import Request

logger = logging.getLogger(__name__)

#: more than this in a container's output folder at once, and it is stopped (bytes)
OUTPUT_LIMIT = 8 * 2**30
#: more scans at once only take memory: one model does not keep more of them busy
MOST_THREADS = 4
#: scans whose images lie staged at once when a model is asked in batches
SCANS_A_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConnection:
    """A model that can be asked."""

    engine: Engine
    model: Model
    limits: Limits
    #: of the run, by which its containers are found again
    run_id: str
    log: Path
    #: does it stay alive between requests
    session: bool
    #: scans that are read, corrected and scored at once while the model works
    threads: int
    #: set when one of several GPUs' drivers fails, so that the others end, too
    stop: threading.Event = field(default_factory=threading.Event)

    def answer_all(
        self,
        talks: Iterator[Talk],
        workspace: Workspace,
        *,
        gpu: str | None,
        session: bool,
        at_once: int = SCANS_A_BATCH,
    ) -> None:
        """Hold all conversations to their end, from one session or in batches of so many scans ``at_once``."""
        how = {"run_id": self.run_id, "gpu": gpu, "log": self.log}
        if session:
            with ModelSession(self.engine, self.model, workspace, self.limits, **how) as talk:  # type: ignore[arg-type]
                run_in_session(talks, talk.ask, threads=self.threads, stop=self.stop)
            return

        def ask_all(requests: Sequence[Request]) -> Iterator[RequestOutcome]:
            return answer_batch(self.engine, self.model, workspace, requests, self.limits, **how)  # type: ignore[arg-type]

        run_in_batches(talks, ask_all, threads=self.threads, at_once=at_once)


def reach(
    engine: Engine,
    model: Model,
    rounds: RoundPlan,
    *,
    run_id: str,
    log: Path,
    timeout: float | None,
    threads: int | None,
    batch: bool,
) -> ModelConnection:
    """The way to ask this model; says why it is not asked in a session where its card offers one."""
    card = model.card
    session = card.session and engine.sessions and not batch
    if session and rounds.count > 1 and not card.many_rounds:
        logger.info(
            f"model {card.name} cannot be refined: each round of all scans goes to it in one batch"
        )
        session = False
    elif card.session and not session and not batch:
        logger.info(f"engine {engine.name} cannot attach to a container: requests go in batches")
    return ModelConnection(
        engine=engine,
        model=model,
        limits=Limits(
            timeout=timeout or card.timeout,
            memory=card.memory,
            shm=card.shm,
            output_bytes=OUTPUT_LIMIT,
        ),
        run_id=run_id,
        log=log,
        session=session,
        threads=threads or min(max(os.cpu_count() or 1, 2), MOST_THREADS),
    )
