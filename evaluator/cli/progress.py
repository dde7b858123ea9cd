"""Progress of a run on standard error: a live bar on a terminal, a line a scan elsewhere."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """``with Progress(title) as progress``: ``say`` prints a line above the bar, ``step`` moves it."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = sys.stderr.isatty()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}"),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None, last="")
        self._title = title

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False)

    def step(self, ended: int, total: int, line: str) -> None:
        """One more scan has ended."""
        if self._live:
            self._bar.update(self._task, completed=ended, total=total, last=line)
        else:
            self._console.print(f"{self._title} {ended}/{total} {line}", markup=False)
