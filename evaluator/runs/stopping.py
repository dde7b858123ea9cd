"""Stop the processes of runs, on whatever machine they are, by files in the run folders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from evaluator.runs.processes import Liveness, request_stop
from evaluator.runs.run_status import process_statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from evaluator.runs.processes import StopMode
    from evaluator.runs.run_status import ProcessStatus
    from evaluator.runs.store import RunStore

    Working = tuple[RunStore, ProcessStatus]


def working_processes(runs: Iterable[RunStore]) -> list[Working]:
    """The processes that work on runs, as far as is known."""
    return [(run, process) for run in runs for process in process_statuses(run) if process.lives]


def stop_processes(working: Iterable[Working], mode: StopMode) -> None:
    """Ask processes to stop; each looks for that every second. Raises HostError."""
    for run, process in working:
        request_stop(run.path, process.record.id, mode)


def wait_until_stopped(
    working: Sequence[Working],
    seconds: float,
    pause: Callable[[], None] = lambda: time.sleep(0.5),
    clock: Callable[[], float] = time.monotonic,
) -> list[Working]:
    """Wait until processes have ended, or gave no sign of life for a minute of this wait.

    Args:
        working: the processes.
        seconds: how long at most.
        pause: between two looks.
        clock: seconds that pass.

    Returns:
        those that have not, in their present state.
    """
    observers = {run.path: Liveness(run.path, clock) for run, _ in working}
    deadline = clock() + seconds
    while left := _living(working, observers):
        if clock() >= deadline:
            return left
        pause()
    return []


def _living(working: Sequence[Working], observers: Mapping[Path, Liveness]) -> list[Working]:
    wanted = {process.record.id for _, process in working}
    runs = {run.path: run for run, _ in working}
    living = working_processes(runs.values())
    present = {process.record.id for _, process in living}
    for run, process in working:
        if process.record.id not in present:  # it ended before it saw the request
            path = run.path / "processes" / f"{process.record.id}.stop"
            path.unlink(missing_ok=True)
    # the time of a file may be that of another clock, so what looks silent is observed;
    # a process that is only asleep sees the request when it wakes up
    return [
        (run, entry)
        for run, entry in living
        if entry.record.id in wanted and observers[run.path].state(entry.record.id) != "dead"
    ]
