"""A suite on the workers of dask.distributed: shards go out, results come by the shared folder.

The scheduler of dask distributes nothing but the orders of shards. What is done is read from the
run folders, so a scheduler or worker that is lost costs what was in flight.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import HostError, StoppedError, UserError
from evaluator.evaluation.cluster.command_lines import (
    absolute,
    run_arguments,
    umd_environment,
)
from evaluator.evaluation.cluster.dask_connection import Lost, connected
from evaluator.evaluation.cluster.gather_suite import gather_suite
from evaluator.evaluation.cluster.jobs import open_cases
from evaluator.evaluation.cluster.shard_orders import STOPPED, ShardOrder
from evaluator.evaluation.cluster.shard_queue import (
    ShardQueue,
    assignments,
    free_slots,
    shard_tasks,
)
from evaluator.evaluation.suites import SuiteRunResult, record_suite
from evaluator.files import safe_name
from evaluator.runs.run_status import process_statuses
from evaluator.runs.stopping import stop_processes, working_processes
from evaluator.runs.store import find_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from evaluator.evaluation.cluster.dask_connection import Promise, Workers
    from evaluator.evaluation.cluster.jobs import SuiteJobs
    from evaluator.evaluation.cluster.shard_queue import ShardTask
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.manifests.suites import Suite

logger = logging.getLogger(__name__)

#: s until a scheduler that never answered is given up
FIRST_PATIENCE = 30.0
#: s until a scheduler that was lost is given up
SCHEDULER_PATIENCE = 600.0
#: between two attempts to reach a scheduler, s
RETRY_SECONDS = 2.0
#: between two looks at the shards in flight, s
LOOK_SECONDS = 0.2
#: between two looks at the list of workers, s
LOOK_AT_WORKERS_SECONDS = 1.0


def shards_folder(suite: Suite) -> Path:
    """The folder with what umd prints on the workers: ``suites/<name>.shards/logs``."""
    return paths.runs() / "suites" / f"{safe_name(suite.name)}.shards" / "logs"


def run_on_workers(
    suite: Suite,
    planned: SuiteJobs,
    config: RunConfig,
    scheduler: str,
    *,
    shards: int,
    tell: Callable[[str], None],
) -> tuple[SuiteRunResult, ...]:
    """Do all runs of a suite on dask's workers, and write their tables here.

    Args:
        suite: what to run.
        planned: its runs.
        config: what is the same for all runs.
        scheduler: address of dask's scheduler, or its scheduler file.
        shards: into how many shards each run is divided.
        tell: is given a line for each shard that ends.

    Raises:
        HostError: the scheduler is lost and does not come back; the same call does what is left.
        StoppedError: umd stop ended a run of the suite.
        UserError: dask.distributed is not installed.
    """
    logs = shards_folder(suite)
    logs.mkdir(parents=True, exist_ok=True)
    runs = [
        SuiteRunResult(model=job.model, dataset=job.dataset, protocol=job.protocol, run=job.run)
        for job in planned.jobs
    ]
    record_suite(suite, [*runs, *planned.refused])  # umd status and umd stop find the runs
    queue = ShardQueue(_is_done, _is_worked_on)
    tasks = list(shard_tasks(planned.jobs, shards))
    queue.waiting += [task for task in tasks if not _is_done(task)]
    tell(f"{len(queue.waiting)} of {len(tasks)} shards are to do")
    dispatch = _Dispatch(queue, partial(order_of, config=config, logs=logs), tell)
    try:
        _until_done(dispatch, scheduler)
    except BaseException:
        _ask_to_stop(runs)
        raise
    given_up: dict[str, str] = {}
    for task, reason in queue.given_up.items():
        given_up.setdefault(task.job.run, f"shard {task.shard}: {reason}")
    ended = [
        replace(run, run=None, reason=given_up[run.run]) if run.run in given_up else run
        for run in runs
    ]
    return gather_suite(suite, [*ended, *planned.refused])


def order_of(task: ShardTask, config: RunConfig, logs: Path) -> ShardOrder:
    """The order of a shard."""
    job, variables = task.job, umd_environment()
    words = ["run", "-m", job.model, "--engine", config.engine, *run_arguments(config)]
    words += ["-d", absolute(job.dataset), *job.root_arguments, "-p", absolute(job.protocol)]
    words += ["--name", job.run, "--shard", str(task.shard)]
    if job.card.gpu != "none" and config.per_gpu != 1:
        words += ["--per-gpu", str(config.per_gpu)]
    log = f"{safe_name(job.run)}.{task.shard.index}-of-{task.shard.count}.log"
    return ShardOrder(
        arguments=tuple(words),
        environment={"UMD_RUNS": variables.pop("UMD_RUNS")},
        defaults=variables,
        gpu=task.resource == "GPU",
        log=str(logs / log),
    )


def _is_done(task: ShardTask) -> bool:
    return not any(open_cases(task.job.run, task.job.cases, task.shard))


def _is_worked_on(task: ShardTask) -> bool:
    run = find_run(task.job.run)
    # a silent process may be that of a lost machine, for which nobody waits for ever
    return run is not None and any(entry.state == "running" for entry in process_statuses(run))


def _until_done(dispatch: _Dispatch, scheduler: str) -> None:
    """Give out shards until none is left, by this scheduler or those that take its place."""
    deadline = time.monotonic() + FIRST_PATIENCE
    while dispatch.queue.waiting:
        try:
            with connected(scheduler) as workers:
                try:
                    dispatch.all_shards(workers)
                finally:
                    # from the loss on: shards may have run for hours
                    deadline = time.monotonic() + SCHEDULER_PATIENCE
        except Lost as error:
            dispatch.take_back_all()
            if time.monotonic() > deadline:
                raise HostError(
                    f"dask's scheduler at {scheduler} does not answer ({error}); start it and its "
                    "workers, and run again: finished scans are kept"
                ) from error
            logger.warning(
                "dask's scheduler at %s does not answer (%s); waiting for it", scheduler, error
            )
            time.sleep(RETRY_SECONDS)


@dataclass(slots=True)
class _Dispatch:
    """Shards in flight, and those that wait."""

    queue: ShardQueue
    order_of: Callable[[ShardTask], ShardOrder]
    tell: Callable[[str], None]
    #: worker, its shard, and the promise of the answer
    in_flight: list[tuple[str, ShardTask, Promise]] = field(default_factory=list)
    _warned: set[str] = field(default_factory=set)

    def all_shards(self, workers: Workers) -> None:
        """Give out all shards and take their answers. Raises Lost."""
        while self.queue.waiting or self.in_flight:
            offered = workers.offered()
            self.queue.forgive(offered)
            self._tell_what_is_missing(offered)
            self._give_out(workers, offered)
            until = time.monotonic() + LOOK_AT_WORKERS_SECONDS
            while time.monotonic() < until and not self._collect(workers):
                time.sleep(LOOK_SECONDS)

    def take_back_all(self) -> None:
        """Take back the shards of a scheduler that is lost."""
        for _, task, _ in reversed(self.in_flight):
            if not self.queue.is_done(task):
                self.queue.lost(task)
        self.in_flight.clear()

    def _give_out(self, workers: Workers, offered: Mapping[str, Mapping[str, float]]) -> None:
        taken = [(worker, task) for worker, task, _ in self.in_flight]
        chosen = assignments(self.queue, free_slots(offered, taken), time.monotonic())
        try:
            for worker, task in chosen:
                promise = workers.submit(worker, str(task), self.order_of(task), task.resource)
                self.in_flight.append((worker, task, promise))
        except Lost:
            sent = {task for _, task, _ in self.in_flight}
            for task in [task for _, task in reversed(chosen) if task not in sent]:
                self.queue.lost(task)
            raise

    def _collect(self, workers: Workers) -> bool:
        """Take the answers that came; whether there were any. Raises Lost, StoppedError."""
        ended = [(entry, workers.answer(entry[2])) for entry in self.in_flight]
        ended = [(entry, answer) for entry, answer in ended if answer is not None]
        for entry, answer in ended:
            worker, task, _ = entry
            self.in_flight.remove(entry)
            assert answer is not None
            if answer.status == STOPPED and not self.queue.is_done(task):
                raise StoppedError(
                    f"umd stop ended {task}; finished scans are kept, and the same command does "
                    "what is left"
                )
            problem = self.queue.answered(task, worker, answer, time.monotonic())
            how = problem or "done"
            if task in self.queue.given_up:
                how = f"given up after {task.failures} attempts: {problem}"
            self.tell(f"{task}: {how}")
        return bool(ended)

    def _tell_what_is_missing(self, offered: Mapping[str, Mapping[str, float]]) -> None:
        for resource in sorted({task.resource for task in self.queue.waiting}):
            there = any(resources.get(resource, 0) >= 1 for resources in offered.values())
            if not there and resource not in self._warned:
                logger.warning(
                    "no worker offers a slot for a model %s a GPU; shards wait for one that is "
                    'started with: dask worker ... --resources "%s=1"',
                    "with" if resource == "GPU" else "without", resource,
                )  # fmt: skip
            self._warned = self._warned - {resource} if there else self._warned | {resource}


def _ask_to_stop(runs: Sequence[SuiteRunResult]) -> None:
    """Let the shards that run finish the scans that are under way, and no further ones."""
    with suppress(UserError):
        present = [run for entry in runs if entry.run and (run := find_run(entry.run))]
        stop_processes(working_processes(present), "after scan")
