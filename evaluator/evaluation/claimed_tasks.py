"""Scan tasks of cases that no other process has: several processes may do overlapping shards."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.evaluation.task_evaluation import TaskEvaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from evaluator.containers import RequestOutcome
    from evaluator.containers.requests import StagedRequest
    from evaluator.evaluation.run_context import RunContext
    from evaluator.evaluation.scan_task import ScanTask
    from evaluator.runs.claims import Claims

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClaimedEvaluation:
    """A ``TaskEvaluation`` that ends when another process has taken over its case."""

    evaluation: TaskEvaluation
    claims: Claims
    case: str

    @property
    def expects_request(self) -> bool:
        """See ``TaskEvaluation``."""
        return self.evaluation.expects_request

    def next_request(self) -> StagedRequest | None:
        """See ``TaskEvaluation``. Raises HostError when the case was taken over."""
        self.claims.require(self.case)
        return self.evaluation.next_request()

    def receive(self, outcome: RequestOutcome) -> None:
        """See ``TaskEvaluation``. Raises HostError when the case was taken over."""
        self.claims.require(self.case)
        self.evaluation.receive(outcome)


def claimed_evaluations(
    context: RunContext,
    tasks: Iterator[ScanTask],
    claims: Claims,
    to_do: Collection[str],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[ClaimedEvaluation]:
    """The evaluations of tasks whose cases this process gets.

    Tasks of cases that another process has come last. Those of a process that lives are left to it.
    ``to_do`` are the cases of which a scan is to do, as far as is known. When ``stopping``, no
    further task begins.
    """
    postponed: list[ScanTask] = []
    for task in tasks:
        if stopping():
            return
        if claims.claim(task.case) == "mine":
            yield _evaluation(context, task, claims, to_do)
        else:
            postponed.append(task)
    for task in postponed:
        if stopping():
            return
        if claims.wait_for(task.case) == "mine":
            yield _evaluation(context, task, claims, to_do)
        else:
            logger.info("case %s is left to another process", task.case)


def _evaluation(
    context: RunContext, task: ScanTask, claims: Claims, to_do: Collection[str]
) -> ClaimedEvaluation:
    evaluation = TaskEvaluation(context, task, expects_request=task.case in to_do)
    return ClaimedEvaluation(evaluation, claims, task.case)
