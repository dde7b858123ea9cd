"""Progress on standard error: a live bar on a terminal, otherwise one line per scan."""

from __future__ import annotations

import logging
import sys
import time
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

from evaluator.cli.messages import shared_console

logger = logging.getLogger(__name__)

#: a shorter time left is not told, s
SHORTEST_TOLD = 5
#: the progress of fewer is not told without a terminal
FEWEST_TOLD = 20


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
    """Progress of a run, in scans: ``with Progress(title) as progress: progress.step(...)``.

    With ``batch`` the scans end many at a time, because the model answers in batches.
    """

    def __init__(self, title: str, *, batch: bool = False) -> None:
        count, last = MofNCompleteColumn(), TextColumn("{task.fields[last]}")
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), last
        )
        self._task: TaskID | None = None
        self._batch = batch
        self.start(title)

    def start(self, title: str) -> None:
        """Begin with the next run."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=None, last="")
        self._title = title
        self._begun = time.monotonic()
        #: scans that took time, unlike those that were done before
        self._timed = 0
        #: when the first of them ended
        self._first_end = 0.0
        self._reasons: set[str] = set()

    def step(self, ended: int, total: int, line: str) -> None:
        """Report that a scan has ended; failures stay on the screen.

        Args:
            ended: number of scans that have ended.
            total: number of all scans.
            line: the scan and its result.
        """
        line = self._shorten(line)
        if not line.endswith((": done before", ": unsupported, as above")):
            self._timed += 1
        if not self._live:
            left = self._time_left(total - ended)
            logger.info("%s %d/%d%s %s", self._title, ended, total, left, line)
            return
        assert self._task is not None
        self._bar.update(self._task, completed=ended, total=total, last=line)
        if not line.endswith((": done", ": done before", ": unsupported, as above")):
            logger.warning("%s %d/%d %s", self._title, ended, total, line)

    def _shorten(self, line: str) -> str:
        """Give the reason of unsupported scans once."""
        scan, separator, reason = line.partition(": unsupported: ")
        if not separator:
            return line
        if reason in self._reasons:
            return f"{scan}: unsupported, as above"
        self._reasons.add(reason)
        return line

    def _time_left(self, scans: int) -> str:
        """The time that so many scans need at the present speed, if it is worth telling."""
        if not self._timed:
            return ""
        now = time.monotonic()
        begun, timed = self._begun, self._timed
        if not self._batch:  # the first scan also waited for the container and for compilation
            self._first_end = self._first_end or now
            begun, timed = self._first_end, timed - 1
        if not timed:
            return ""
        seconds = (now - begun) / timed * scans
        return f" ({describe_seconds(seconds)} left)" if seconds >= SHORTEST_TOLD else ""


def describe_seconds(seconds: float) -> str:
    """A time in words: "about 40 s", "about 12 min", "about 2.5 h"."""
    if seconds < 100:
        return f"about {seconds:.0f} s"
    if seconds < 100 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


class CountBar(_LiveBar):
    """Progress of a count: a bar on a terminal, otherwise a line per tenth of larger ones."""

    def __init__(self, title: str, total: int) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._title, self._total = title, total
        self._task = self._bar.add_task(title, total=total)
        self._tenth = 0

    def show(self, count: int) -> None:
        """Report that so many are done."""
        self._bar.update(self._task, completed=count)
        tenth = 10 * count // self._total
        if not self._live and self._total >= FEWEST_TOLD and tenth > self._tenth:
            self._tenth = tenth
            logger.info("%s: %d of %d", self._title, count, self._total)


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


class Counts(_LiveBar):
    """Progress of steps that count things: a bar on a terminal, otherwise a line per tenth."""

    def __init__(self) -> None:
        text = TextColumn("{task.description}")
        super().__init__(text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    def step(self, title: str, done: int, total: int) -> None:
        """Report how many of the things of a step are done."""
        if self._live:
            if title not in self._tasks:
                self._tasks[title] = self._bar.add_task(title)
            self._bar.update(self._tasks[title], completed=done, total=total)
        elif total and (tenth := 10 * done // total) > self._tenths.get(title, 0):
            self._tenths[title] = tenth
            logger.info("%s: %d of %d", title, done, total)
