"""Progress of a run on standard error: a live bar on a terminal, a line a scan elsewhere."""

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

from evaluator.cli.log import CONSOLE

logger = logging.getLogger(__name__)


class _Shown:
    """A rich bar on standard error while the block lasts, if that is a terminal, and lines above it."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._live = sys.stderr.isatty()
        self._bar = Bar(*columns, console=CONSOLE, disable=not self._live, transient=True)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()


class Progress(_Shown):
    """``with Progress(title) as progress``: ``step`` moves the bar."""

    def __init__(self, title: str) -> None:
        count, last = MofNCompleteColumn(), TextColumn("{task.fields[last]}")
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), last
        )
        self._task = self._bar.add_task(title, total=None, last="")
        self._title = title

    def step(self, ended: int, total: int, line: str) -> None:
        """One more scan has ended."""
        if self._live:
            self._bar.update(self._task, completed=ended, total=total, last=line)
        else:
            logger.info("%s %d/%d %s", self._title, ended, total, line)


class Downloads(_Shown):
    """``with Downloads() as downloads``: a bar for each file on a terminal, a line a tenth of it elsewhere."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        )
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, int] = {}

    def step(self, name: str, there: int, total: int | None) -> None:
        """So many bytes of a file are there."""
        if self._live:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(name)
            self._bar.update(self._tasks[name], completed=there, total=total)
        elif total and (tenth := 10 * there // total) > self._told.get(name, 0):
            self._told[name] = tenth
            logger.info("  %s: %.0f of %.0f MB", name, there / 1e6, total / 1e6)
