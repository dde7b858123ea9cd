"""How far runs are, from their folders alone: scans, processes, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.runs.processes import DEAD_SECONDS, is_gone, read_processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evaluator.runs.processes import ProcessRecord
    from evaluator.runs.store import RunStore

#: a process that ended longer ago is not listed, s
RECENT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One process of a run, as an observer sees it."""

    record: ProcessRecord
    #: running, silent (no sign of life for a minute), gone (killed), done, failed or stopped
    state: str
    #: since its last sign of life, by this machine's clock, s
    silent_seconds: float

    @property
    def lives(self) -> bool:
        """Whether it works, as far as is known; a silent one may."""
        return self.state in ("running", "silent")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far one run is."""

    run: str
    #: complete, running, stopped, failed or not running
    state: str
    #: scans that are done, and all scans of the run
    done: int
    scans: int
    #: scans an hour of the processes that run; None: none has ended yet
    per_hour: float | None
    #: seconds until the run is complete at this rate
    seconds_left: float | None
    processes: tuple[ProcessStatus, ...]


def run_status(run: RunStore) -> RunStatus:
    """How far a run is. Raises UserError where its run.json is damaged."""
    scans = run.info().scans
    done = scans - run.missing_scans()
    processes = process_statuses(run)
    running = [entry for entry in processes if entry.state == "running"]
    rate = _rate(running)
    left = (scans - done) / rate if rate else None
    return RunStatus(
        run=run.name,
        state=_state(scans - done, processes),
        done=done,
        scans=scans,
        per_hour=rate * 3600 if rate else None,
        seconds_left=left,
        processes=processes,
    )


def process_statuses(run: RunStore) -> tuple[ProcessStatus, ...]:
    """The processes of a run, oldest first; its run.json is not read."""
    return tuple(_process_status(run, record) for record in read_processes(run.path))


def active_runs(runs: Iterable[RunStore]) -> list[RunStatus]:
    """The runs that lack scans or have a process; damaged ones are passed over."""
    found = []
    for run in runs:
        try:
            status = run_status(run)
        except UserError:
            continue
        if status.state != "complete" or any(entry.lives for entry in status.processes):
            found.append(status)
    return found


def recent_processes(status: RunStatus) -> list[ProcessStatus]:
    """The processes that live, and those that ended within a day."""
    return [
        entry for entry in status.processes if entry.lives or entry.silent_seconds < RECENT_SECONDS
    ]


def _process_status(run: RunStore, record: ProcessRecord) -> ProcessStatus:
    path = run.path / "processes" / f"{record.id}.json"
    try:
        silent = max(time.time() - path.stat().st_mtime, 0.0)
    except OSError:
        silent = 0.0
    state: str = record.state
    if state == "running":
        if is_gone(record):
            state = "gone"
        elif silent > DEAD_SECONDS:
            state = "silent"
    return ProcessStatus(record=record, state=state, silent_seconds=silent)


def _rate(running: Iterable[ProcessStatus]) -> float | None:
    """Scans a second of all processes that run."""
    rates = [
        entry.record.answered / entry.record.seconds
        for entry in running
        if entry.record.answered and entry.record.seconds
    ]
    return sum(rates) or None


def _state(missing: int, processes: tuple[ProcessStatus, ...]) -> str:
    if any(entry.state == "running" for entry in processes):
        return "running"
    if not missing:
        return "complete"
    if processes and processes[-1].state in ("stopped", "failed"):
        return processes[-1].state
    return "not running"
