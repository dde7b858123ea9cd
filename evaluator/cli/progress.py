"""Progress on standard error: a live bar on a terminal, otherwise one line per scan."""

from __future__ import annotations

import logging
import sys
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from evaluator.cli.log import shared_console

logger = logging.getLogger(__name__)


class _LiveBar:
    """A progress bar on standard error within a ``with`` block, if that is a terminal."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._live = sys.stderr.isatty()
        self._bar = Bar(*columns, console=shared_console(), disable=not self._live, transient=True)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.stop()


class Progress(_LiveBar):
    """Progress of a run, in scans: ``with Progress(title) as progress: progress.step(...)``."""

    def __init__(self, title: str) -> None:
        count, last = MofNCompleteColumn(), TextColumn("{task.fields[last]}")
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), last
        )
        self._task = self._bar.add_task(title, total=None, last="")
        self._title = title

    def step(self, ended: int, total: int, line: str) -> None:
        """Report that a scan has ended.

        Args:
            ended: number of scans that have ended.
            total: number of all scans.
            line: the scan and its result.
        """
        if self._live:
            self._bar.update(self._task, completed=ended, total=total, last=line)
        else:
            logger.info("%s %d/%d %s", self._title, ended, total, line)


class Downloads(_LiveBar):
    """Progress of downloads: a bar for each file on a terminal, otherwise a line per tenth."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        )
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    def step(self, name: str, received: int, total: int | None) -> None:
        """Report the bytes of a file that have been received; ``total`` is None if unknown."""
        if self._live:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(name)
            self._bar.update(self._tasks[name], completed=received, total=total)
        elif total and (tenth := 10 * received // total) > self._tenths.get(name, 0):
            self._tenths[name] = tenth
            logger.info("  %s: %.0f of %.0f MB", name, received / 1e6, total / 1e6)
