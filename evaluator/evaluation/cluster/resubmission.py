"""What of a suite is submitted again: tasks that are not done and that Slurm does not have."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.evaluation.cluster.jobs import open_cases
from evaluator.evaluation.run_config import parse_shard

if TYPE_CHECKING:
    from evaluator.evaluation.cluster.jobs import SuiteJob
    from evaluator.evaluation.cluster.slurm import TaskState
    from evaluator.evaluation.cluster.slurm_records import SlurmArray, SlurmRecord
    from evaluator.manifests.sites import Site

logger = logging.getLogger(__name__)


def continued(
    record: SlurmRecord, earlier: SlurmRecord, states: dict[tuple[int, int | None], TaskState]
) -> SlurmRecord:
    """The record with the submissions of earlier calls.

    Raises:
        UserError: an array is cut into other shards while its earlier tasks are with Slurm.
    """
    by_model = {array.model: array for array in earlier.arrays}
    arrays: list[SlurmArray] = []
    forgotten = list(earlier.earlier)
    for array in record.arrays:
        before = by_model.get(array.model)
        if before is None:
            arrays.append(array)
        elif before.tasks == array.tasks:
            arrays.append(replace(array, submissions=before.submissions))
        else:
            jobs = {entry.job for entry in before.submissions}
            if any(state.active for (job, _), state in states.items() if job in jobs):
                raise UserError(
                    f"tasks of {array.model} wait or run in other shards; cancel them first: "
                    f"umd stop --suite {earlier.source}"
                )
            forgotten += before.submissions
            arrays.append(array)
    return replace(
        record, arrays=tuple(arrays), gather=earlier.gather, report=earlier.report,
        earlier=tuple(forgotten),
    )  # fmt: skip


def tasks_to_submit(
    array: SlurmArray,
    jobs: dict[str, SuiteJob],
    states: dict[tuple[int, int | None], TaskState],
    site: Site,
) -> list[int]:
    """The tasks of an array that are not done, not with Slurm, and not begun too often."""
    waiting: list[int] = []
    for number, task in enumerate(array.tasks):
        last = array.last_job(number)
        state = states.get((last, number)) if last is not None else None
        if state is not None and state.active:
            continue
        if not any(open_cases(task.run, jobs[task.run].cases, parse_shard(task.shard))):
            continue
        if array.attempts(number) >= site.attempts:
            logger.warning(
                "%s %s, shard %s was submitted %d times and is not done%s; see its logs in %s",
                array.model, task.run, task.shard, site.attempts,
                f" (Slurm: {state.state} {state.reason})" if state else "", "logs/",
            )  # fmt: skip
            continue
        waiting.append(number)
    return waiting
