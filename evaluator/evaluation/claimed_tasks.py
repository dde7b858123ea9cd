"""Scan tasks of cases that no other process has: several processes may do overlapping shards."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import HostError
from evaluator.evaluation.task_evaluation import TaskEvaluation
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from evaluator.containers import RequestOutcome
    from evaluator.containers.requests import StagedRequest
    from evaluator.evaluation.run_context import RunContext
    from evaluator.evaluation.scan_task import ScanTask
    from evaluator.runs.claims import Claims

logger = logging.getLogger(__name__)

#: statuses that depend on the other sessions of a GPU, and what was short
SHARED_RESOURCES = {Status.OUT_OF_MEMORY: "memory", Status.TIMEOUT: "time"}


@dataclass(frozen=True, slots=True)
class ClaimedEvaluation:
    """A ``TaskEvaluation`` that ends when another process has taken over its case."""

    evaluation: TaskEvaluation
    claims: Claims
    case: str
    #: whether other sessions are on the same GPU
    shared_gpu: bool = False

    @property
    def expects_request(self) -> bool:
        """See ``TaskEvaluation``."""
        return self.evaluation.expects_request

    def next_request(self) -> StagedRequest | None:
        """See ``TaskEvaluation``. Raises HostError when the case was taken over."""
        self.claims.require(self.case)
        return self.evaluation.next_request()

    def receive(self, outcome: RequestOutcome) -> None:
        """See ``TaskEvaluation``.

        Raises:
            HostError: the case was taken over, or memory or time was short while sessions shared a
                GPU, which says nothing of the model.
        """
        self.claims.require(self.case)
        if self.shared_gpu and (resource := exhausted_resource(outcome)):
            raise HostError(
                f"the model ran out of {resource} while several sessions shared a GPU; run again "
                "with a smaller --per-gpu, or without it: finished scans are kept"
            )
        self.evaluation.receive(outcome)


def claimed_evaluations(
    context: RunContext,
    tasks: Iterator[ScanTask],
    claims: Claims,
    to_do: Collection[str],
    stopping: Callable[[], bool] = lambda: False,
    shared_gpu: bool = False,
) -> Iterator[ClaimedEvaluation]:
    """The evaluations of tasks whose cases this process gets.

    Tasks of cases that another process has come last. Those of a process that lives are left to it.
    ``to_do`` are the cases of which a scan is to do, as far as is known. When ``stopping``, no
    further task begins. ``shared_gpu``: other sessions are on the same GPU.
    """

    def begun(task: ScanTask) -> ClaimedEvaluation:
        evaluation = TaskEvaluation(context, task, expects_request=task.case in to_do)
        return ClaimedEvaluation(evaluation, claims, task.case, shared_gpu)

    postponed: list[ScanTask] = []
    for task in tasks:
        if stopping():
            return
        if claims.claim(task.case) == "mine":
            yield begun(task)
        else:
            postponed.append(task)
    for task in postponed:
        if stopping():
            return
        if claims.wait_for(task.case) == "mine":
            yield begun(task)
        else:
            logger.info("case %s is left to another process", task.case)


def exhausted_resource(outcome: RequestOutcome) -> str:
    """What a request, or one of its targets, failed for lack of: "memory", "time" or nothing."""
    if outcome.failure is not None:
        return SHARED_RESOURCES.get(outcome.failure.status, "")
    targets = outcome.reply.targets.values() if outcome.reply else ()
    lacks = any(entry.kind == "out-of-memory" for entry in targets if entry.status == "error")
    return "memory" if lacks else ""
