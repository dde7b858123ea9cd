"""Stop the processes of runs, on whatever machine they are, by files in the run folders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from evaluator.runs.processes import request_stop
from evaluator.runs.run_status import process_statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
) -> list[Working]:
    """Wait until processes have ended, or give no sign of life any more.

    Args:
        working: the processes.
        seconds: how long at most.
        pause: between two looks.

    Returns:
        those that have not.
    """
    deadline = time.monotonic() + seconds
    while left := _living(working):
        if time.monotonic() >= deadline:
            return left
        pause()
    return []


def _living(working: Sequence[Working]) -> list[Working]:
    wanted = {process.record.id for _, process in working}
    runs = {run.path: run for run, _ in working}
    living = working_processes(runs.values())
    present = {process.record.id for _, process in living}
    for run, process in working:
        if process.record.id not in present:  # it ended before it saw the request
            path = run.path / "processes" / f"{process.record.id}.stop"
            path.unlink(missing_ok=True)
    # one that is silent is dead, or sees the request when it wakes up
    return [
        (run, entry)
        for run, entry in living
        if entry.record.id in wanted and entry.state == "running"
    ]
