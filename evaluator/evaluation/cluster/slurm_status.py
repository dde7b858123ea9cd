"""What Slurm has of a suite: its tasks by state, and how to cancel them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from evaluator.evaluation.cluster.slurm import cancel, task_states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.evaluation.cluster.slurm import TaskState
    from evaluator.evaluation.cluster.slurm_records import SlurmRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmTaskStatus:
    """One task of a suite's arrays, or the job of its tables or report."""

    #: the model, or "gather" or "report"
    name: str
    run: str
    #: I/N
    shard: str
    #: how often it was submitted
    attempts: int
    #: Slurm's job and task; empty: it was not submitted
    job: str
    #: as Slurm names it; "unknown": Slurm has forgotten it
    state: str
    reason: str
    node: str


class _State(TypedDict):
    state: str
    reason: str
    node: str


def slurm_status(record: SlurmRecord) -> list[SlurmTaskStatus]:
    """The tasks of a suite with their last states.

    Raises:
        UserError: this machine has no Slurm.
        HostError: Slurm's controller does not answer.
    """
    return tasks_of(record, task_states(record.jobs()))


def tasks_of(
    record: SlurmRecord, states: Mapping[tuple[int, int | None], TaskState]
) -> list[SlurmTaskStatus]:
    """As ``slurm_status``, with the states that Slurm told."""
    rows: list[SlurmTaskStatus] = []
    for array in record.arrays:
        for number, task in enumerate(array.tasks):
            job = array.last_job(number)
            state = states.get((job, number)) if job is not None else None
            rows.append(
                SlurmTaskStatus(
                    name=array.model,
                    run=task.run,
                    shard=task.shard,
                    attempts=array.attempts(number),
                    job=f"{job}_{number}" if job is not None else "",
                    **_state(state, submitted=job is not None),
                )
            )
    for name, submissions in (("gather", record.gather), ("report", record.report)):
        if submissions:
            job = submissions[-1].job
            rows.append(
                SlurmTaskStatus(
                    name=name,
                    run="",
                    shard="",
                    attempts=len(submissions),
                    job=str(job),
                    **_state(states.get((job, None)), submitted=True),
                )
            )
    return rows


def count_states(rows: list[SlurmTaskStatus]) -> dict[str, int]:
    """How many tasks are in each state."""
    return dict(Counter(row.state for row in rows))


def cancel_waiting(record: SlurmRecord) -> None:
    """Cancel what waits, and the jobs of tables and report."""
    arrays = [entry.job for array in record.arrays for entry in array.submissions]
    cancel(arrays, state="PENDING")
    cancel([entry.job for entry in (*record.gather, *record.report)])


def cancel_all(record: SlurmRecord) -> None:
    """Cancel everything: tasks that run get SIGTERM, and end in order."""
    cancel(record.jobs())


def _state(state: TaskState | None, *, submitted: bool) -> _State:
    if state is None:
        return _State(state="unknown" if submitted else "not submitted", reason="", node="")
    return _State(state=state.state, reason=state.reason, node=state.node)
