"""``umd watch``: how far runs are, again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from evaluator.cli.run_status_tables import (
    chosen_statuses,
    status_tables,
    task_table,
    tasks_in_slurm,
)
from evaluator.cli.status import suite_of
from evaluator.cli.table_layout import to_lines
from evaluator.cli.tables import terminal_width
from evaluator.errors import HostError
from evaluator.evaluation.cluster.slurm import ACTIVE
from evaluator.evaluation.cluster.slurm_records import read_slurm_record

if TYPE_CHECKING:
    from evaluator.evaluation.cluster.slurm_status import SlurmTaskStatus
    from evaluator.manifests.suites import Suite

#: Slurm's controller is asked less often than the run folders are read, s
SLURM_SECONDS = 30.0


@click.command(epilog="Example: umd watch --suite cpu")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--suite", "suite_name", metavar="NAME", help="The runs of a suite, and its tasks.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
def watch(runs: tuple[str, ...], suite_name: str | None, interval: float) -> None:
    """Show how far RUN... are until nothing works on them, as umd status does.

    Without a terminal, the tables are printed whenever they change. Ctrl-C ends the view and no
    run.
    """
    suite = suite_of(suite_name, runs)
    view = _View(runs, suite)
    terminal = terminal_width() is not None
    try:
        if terminal:
            _watch_live(view, interval)
        else:
            _watch_lines(view, interval)
    except KeyboardInterrupt:
        return


class _View:
    """The text of the tables, and whether anything works."""

    def __init__(self, runs: tuple[str, ...], suite: Suite | None) -> None:
        self._runs, self._suite = runs, suite
        self._tasks: list[SlurmTaskStatus] = []
        self._asked: float | None = None

    def look(self) -> tuple[str, bool]:
        """The tables, and whether a process or a task is under way."""
        statuses = chosen_statuses(self._runs, self._suite)
        self._ask_slurm()
        tables = [*status_tables(statuses), *([task_table(self._tasks)] if self._tasks else [])]
        lines: list[str] = []
        for table in tables:
            lines += [*to_lines(table, terminal_width()), ""]
        works = any(process.lives for entry in statuses for process in entry.processes)
        waits = any(task.state in ACTIVE for task in self._tasks)
        return "\n".join(lines).rstrip() or "nothing works on a run", works or waits

    def _ask_slurm(self) -> None:
        if self._suite is None:
            return
        now = time.monotonic()
        if self._asked is None or now - self._asked >= SLURM_SECONDS:
            first, self._asked = self._asked is None, now
            try:
                self._tasks = tasks_in_slurm(read_slurm_record(self._suite))
            except HostError:  # a busy controller misses an answer now and then
                if first:
                    raise


def _watch_live(view: _View, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    text, works = view.look()
    with Live(Text(text), console=Console(), auto_refresh=False) as live:
        while works:
            time.sleep(interval)
            text, works = view.look()
            live.update(Text(text), refresh=True)


def _watch_lines(view: _View, interval: float) -> None:
    last = ""
    while True:
        text, works = view.look()
        if text != last:
            click.echo(text)
        last = text
        if not works:
            return
        time.sleep(interval)
