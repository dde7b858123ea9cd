"""The tables of ``umd status`` and ``umd watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.cli.table_layout import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.evaluation.cluster.slurm_records import SlurmRecord
    from evaluator.evaluation.cluster.slurm_status import SlurmTaskStatus
    from evaluator.manifests.suites import Suite
    from evaluator.runs.run_status import ProcessStatus, RunStatus
    from evaluator.runs.store import RunStore

_RUNS = (
    Column(name="run", text=True),
    Column(name="state", text=True),
    Column(name="done"),
    Column(name="scans"),
    Column(name="per_hour", level=1, digits=0),
    Column(name="left", text=True, level=1),
)
_PROCESSES = (
    Column(name="run", text=True, shared=True),
    Column(name="machine", text=True),
    Column(name="process"),
    Column(name="shard", text=True, level=1),
    Column(name="slurm", text=True, level=1),
    Column(name="state", text=True),
    Column(name="ended"),
    Column(name="scans"),
    Column(name="seen", text=True, level=1),
    Column(name="reason", text=True, wraps=True, level=2),
)
_TASKS = (
    Column(name="model", text=True),
    Column(name="shard", text=True),
    Column(name="job", text=True),
    Column(name="state", text=True),
    Column(name="attempts", level=1),
    Column(name="node", text=True, level=1),
    Column(name="reason", text=True, wraps=True, level=1),
    Column(name="run", text=True, level=2),
)


def status_tables(statuses: Sequence[RunStatus]) -> list[Table]:
    """The tables of runs and of their processes; those without rows are left out."""
    from evaluator.runs.run_status import recent_processes

    runs = [
        [entry.run, entry.state, entry.done, entry.scans, entry.per_hour, _left(entry)]
        for entry in statuses
    ]
    processes = []
    for entry in statuses:
        processes += [_process_row(entry.run, process) for process in recent_processes(entry)]
    tables = [
        Table(columns=_RUNS, rows=runs),
        Table(columns=_PROCESSES, rows=processes, title="processes"),
    ]
    return [table for table in tables if table.rows]


def task_table(tasks: Sequence[SlurmTaskStatus]) -> Table:
    """The table of a suite's tasks in Slurm."""
    rows = [
        [
            task.name, task.shard, task.job, task.state, task.attempts, task.node, task.reason,
            task.run,
        ]
        for task in tasks
    ]  # fmt: skip
    return Table(columns=_TASKS, rows=rows, title="Slurm")


def chosen_statuses(names: Sequence[str], suite: Suite | None) -> list[RunStatus]:
    """The runs that the user named, those of a suite, or else all that are not complete."""
    from evaluator.runs.names import all_runs, choose_runs
    from evaluator.runs.run_status import active_runs, run_status

    if names:
        return [run_status(run) for run in choose_runs(names)]
    if suite is not None:
        return [run_status(run) for run in runs_of_suite(suite)]
    return active_runs(all_runs())


def runs_of_suite(suite: Suite) -> list[RunStore]:
    """The runs of a suite that exist: those of its record, and those submitted to Slurm.

    Raises:
        UserError: the suite was neither run nor submitted.
    """
    from evaluator.evaluation.cluster.slurm_records import read_slurm_record
    from evaluator.evaluation.suites import suite_record, suite_runs
    from evaluator.runs.store import find_run

    slurm = read_slurm_record(suite)
    names = {task.run for array in slurm.arrays for task in array.tasks} if slurm else set()
    if slurm is None or suite_record(suite).exists():
        names |= {result.run for result in suite_runs(suite) if result.run}
    return [run for name in sorted(names) if (run := find_run(name)) is not None]


def tasks_in_slurm(record: SlurmRecord | None) -> list[SlurmTaskStatus]:
    """What Slurm has of a suite; nothing on a machine without Slurm."""
    from evaluator.evaluation.cluster.slurm import has_slurm
    from evaluator.evaluation.cluster.slurm_status import slurm_status

    if record is None or not has_slurm():
        return []
    return slurm_status(record)


def _process_row(run: str, process: ProcessStatus) -> list[object]:
    record = process.record
    seen = _duration(process.silent_seconds) + " ago" if process.lives else ""
    return [
        run, record.host, record.pid, record.shard, record.slurm, process.state, record.ended,
        record.scans, seen, record.reason,
    ]  # fmt: skip


def _left(status: RunStatus) -> str:
    if status.state == "complete" or status.seconds_left is None:
        return ""
    return f"about {_duration(status.seconds_left)}"


def _duration(seconds: float) -> str:
    """A time in words: "40 s", "12 min", "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
