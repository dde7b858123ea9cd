"""The present process at work on a run: what others learn of it, and its progress."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from evaluator.errors import StoppedError
from evaluator.runs.processes import working_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from evaluator.evaluation.resolve import ResolvedRun
    from evaluator.runs.processes import RunProcess
    from evaluator.runs.store import RunStore
    from evaluator.types import Modality


def working_process(resolved: ResolvedRun, run: RunStore) -> AbstractContextManager[RunProcess]:
    """The present process, of which others learn if a case is not finished."""
    idle = all(task.case in resolved.finished for task in resolved.tasks)
    part = str(resolved.config.shard or "")
    return working_on(run.path, part, len(resolved.scans), idle=idle)


def counted(
    total: int,
    process: RunProcess,
    progress: Callable[[int, int, str], None],
    scan_ended: Callable[[str], None] = lambda _: None,
) -> Callable[[str, Modality, str], None]:
    """Count the scans that end, for the user and for other processes.

    Args:
        total: all scans of the process.
        process: the present one.
        progress: called with (scans ended, scans in all, how the last one ended).
        scan_ended: called with the case of each scan that ends.
    """
    ended = count(1)

    def report(case: str, modality: Modality, how: str) -> None:
        process.scan_ended(before=how == "done before")
        scan_ended(case)
        progress(next(ended), total, f"{case} {modality}: {how}")

    return report


def require_not_stopped(process: RunProcess, run: RunStore) -> None:
    """Raise StoppedError when ``umd stop`` left scans to do."""
    if process.stopping and (missing := run.missing_scans()):
        raise StoppedError(
            f"stopped by umd stop; {missing} scans of run {run.name} are not done, and the same "
            "command does them"
        )
