"""The shards of a suite that wait for a worker: which one is next, and which are given up. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.evaluation.cluster.shard_orders import DONE, WORKER_CLOSED
from evaluator.runs.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from evaluator.evaluation.cluster.jobs import SuiteJob
    from evaluator.evaluation.cluster.shard_orders import ShardAnswer

#: how often a shard is begun, at most; a lost worker or scheduler does not count, and neither does
#: an attempt that found cases with other processes that live
ATTEMPTS = 3
#: s until a shard that failed is begun again
PAUSE = 10.0
#: s until a shard is begun again that other processes have cases of; network file systems may show
#: a new record so late, too
PAUSE_FOR_OTHERS = 60.0


@dataclass(slots=True, kw_only=True, eq=False)
class ShardTask:
    """One shard of a run, and what became of it so far."""

    job: SuiteJob
    shard: Shard
    #: how often it ended without being done
    failures: int = 0
    #: workers on which it failed
    failed_on: set[str] = field(default_factory=set)
    #: time before which it is not begun again
    not_before: float = 0.0

    @property
    def resource(self) -> str:
        """What it takes of a worker: "GPU" or "CPU"."""
        return "CPU" if self.job.card.gpu == "none" else "GPU"

    def __str__(self) -> str:
        return f"{self.job.run}, shard {self.shard}"


@dataclass(slots=True)
class ShardQueue:
    """The shards of a suite."""

    #: whether the run folder has all results of a shard
    is_done: Callable[[ShardTask], bool]
    #: whether processes work on the run of a shard
    is_worked_on: Callable[[ShardTask], bool]
    waiting: list[ShardTask] = field(default_factory=list)
    #: tasks that are given up, with the reason
    given_up: dict[ShardTask, str] = field(default_factory=dict)

    def next_for(self, worker: str, free: Mapping[str, int], now: float) -> ShardTask | None:
        """Take the next shard for a worker.

        Args:
            worker: address of the worker.
            free: slots of the worker that are free, "GPU" and "CPU".
            now: the present time, s.
        """
        for task in self.waiting:
            if free.get(task.resource, 0) < 1 or worker in task.failed_on or now < task.not_before:
                continue
            self.waiting.remove(task)
            return task
        return None

    def answered(self, task: ShardTask, worker: str, answer: ShardAnswer, now: float) -> str:
        """Take back a shard that a worker did, or did not.

        Returns:
            why it is not done; empty if it is.
        """
        if self.is_done(task):
            return ""
        if answer.status == WORKER_CLOSED:
            self.lost(task)
            return answer.reason
        reason = f"{answer.reason or 'umd said nothing'} (status {answer.status}, {answer.host})"
        pause = PAUSE
        if answer.status in DONE:
            reason, pause = f"other processes have cases of it ({answer.host})", PAUSE_FOR_OTHERS
        else:
            task.failed_on.add(worker)
        task.failures += answer.status not in DONE or not self.is_worked_on(task)
        if task.failures >= ATTEMPTS:
            self.given_up[task] = reason
        else:
            task.not_before = now + pause
            self.waiting.append(task)
        return reason

    def lost(self, task: ShardTask) -> None:
        """Take back a shard whose worker or scheduler was lost; it is the next one."""
        self.waiting.insert(0, task)

    def forgive(self, offered: Mapping[str, Mapping[str, float]]) -> None:
        """Let shards that failed on all workers that could do them be begun there again.

        Args:
            offered: worker -> its resources, such as {"GPU": 2, "CPU": 1}.
        """
        for task in self.waiting:
            able = {name for name, has in offered.items() if has.get(task.resource, 0) >= 1}
            if able and able <= task.failed_on:
                task.failed_on.clear()


def shard_tasks(jobs: Sequence[SuiteJob], shards: int) -> Iterator[ShardTask]:
    """The shards of all runs: the first ones of all runs, then the second ones.

    So the results of an unfinished suite cover all of its models and datasets.
    """
    tasks: list[ShardTask] = []
    for job in jobs:
        tasks += [ShardTask(job=job, shard=shard) for shard in job.shards(shards)]
    yield from sorted(tasks, key=lambda task: task.shard.index)


def free_slots(
    offered: Mapping[str, Mapping[str, float]], taken: Iterable[tuple[str, ShardTask]]
) -> dict[str, dict[str, int]]:
    """The slots of each worker that no shard has.

    Args:
        offered: worker -> its resources, such as {"GPU": 2, "CPU": 1}.
        taken: workers with the shards that they have.
    """
    used = Counter((worker, task.resource) for worker, task in taken)
    return {
        worker: {name: int(resources.get(name, 0)) - used[worker, name] for name in ("GPU", "CPU")}
        for worker, resources in offered.items()
    }


def assignments(
    queue: ShardQueue, free: dict[str, dict[str, int]], now: float
) -> list[tuple[str, ShardTask]]:
    """Take shards for the free slots of all workers, one for each worker in turn.

    Args:
        queue: the shards that wait.
        free: worker -> its free slots, which are counted down.
        now: the present time, s.
    """
    chosen: list[tuple[str, ShardTask]] = []
    while True:
        before = len(chosen)
        for worker in sorted(free, key=lambda name: -sum(free[name].values())):
            if task := queue.next_for(worker, free[worker], now):
                free[worker][task.resource] -= 1
                chosen.append((worker, task))
        if len(chosen) == before:
            return chosen
