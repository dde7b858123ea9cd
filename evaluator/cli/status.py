"""``umd status``: how far runs are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option
from evaluator.cli.run_status_tables import (
    chosen_statuses,
    status_tables,
    task_table,
    tasks_in_slurm,
)
from evaluator.cli.tables import print_note, print_table, table_options

if TYPE_CHECKING:
    from evaluator.manifests.suites import Suite


@click.command(epilog="Example: umd status --suite cpu")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--suite", "suite_name", metavar="NAME", help="The runs of a suite, and its tasks.")
@table_options
@json_option("run and task")
def status(runs: tuple[str, ...], suite_name: str | None, as_json: bool) -> None:
    """Show how far RUN... are: scans, processes, time left, and tasks in Slurm.

    Without a RUN: all runs that lack scans or have a process. The run folders tell of processes on
    all machines that share them. A process is silent if its file did not change for a minute, and
    gone if it was killed on this machine.
    """
    from evaluator import paths

    suite = suite_of(suite_name, runs)
    statuses, tasks = chosen_statuses(runs, suite), []
    if suite is not None:
        from evaluator.evaluation.cluster.slurm_records import read_slurm_record

        tasks = tasks_in_slurm(read_slurm_record(suite))
    if as_json:
        for facts in (*map(asdict, statuses), *map(asdict, tasks)):
            click.echo(json.dumps(facts))
        return
    for table in (*status_tables(statuses), *([task_table(tasks)] if tasks else [])):
        print_table(table)
    if not statuses and not tasks:
        print_note(f"{_nothing_to_show(suite)} in {paths.runs()}")


def _nothing_to_show(suite: Suite | None) -> str:
    """Why there is no run to show."""
    from evaluator.runs.names import all_runs

    if suite is not None:
        return f"no run of suite {suite.name} was begun"
    return "every run is complete" if all_runs() else "there is no run"


def suite_of(name: str | None, runs: tuple[str, ...]) -> Suite | None:
    """The suite of a name. Raises UsageError where runs are named, too."""
    from evaluator.manifests.suites import load_suite

    if name is None:
        return None
    if runs:
        raise click.UsageError("name runs, or --suite, not both")
    return load_suite(name)
