"""``umd stop``: end the processes of runs, on whatever machine they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.cli.run_status_tables import runs_of_suite
from evaluator.cli.status import suite_of

if TYPE_CHECKING:
    from evaluator.manifests.suites import Suite
    from evaluator.runs.store import RunStore


@click.command(epilog="Example: umd stop ellipsoid.phantom.box.1a2b3c4d --now")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--suite", "suite_name", metavar="NAME", help="The runs of a suite, and its tasks.")
@click.option("--all", "everything", is_flag=True, help="Every run in the folder of runs.")
@click.option("--now", is_flag=True, help="Do not finish the scans that are under way.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for the end.",
)
def stop(
    runs: tuple[str, ...], suite_name: str | None, everything: bool, now: bool, wait: float
) -> None:
    """Stop RUN... on all machines that share the folder of runs; what is done is kept.

    Each process finishes the scans that are under way, or with --now it ends as on Ctrl-C. Tasks of
    the suite that wait in Slurm are cancelled. The same umd run, or umd suite slurm --resubmit,
    does what is left. The exit code is 1 if a process has not ended.
    """
    from evaluator.runs.names import all_runs, choose_runs
    from evaluator.runs.stopping import stop_processes, wait_until_stopped, working_processes

    suite = suite_of(suite_name, runs)
    if bool(runs) + (suite is not None) + everything != 1:
        raise click.UsageError("name one of: runs, --suite, --all")
    if suite is not None:
        _cancel_tasks(suite, now=now)
    chosen = choose_runs(runs) if runs else runs_of_suite(suite) if suite else all_runs()
    working = working_processes(chosen)
    stop_processes(working, "now" if now else "after scan")
    for run, process in working:
        where = f"process {process.record.pid} on {process.record.host}"
        click.echo(f"{run.name}: {where}, {process.state}: asked to stop")
    left = wait_until_stopped(working, wait)
    _remove_leftovers(chosen)
    for run, process in left:
        click.echo(
            f"{run.name}: process {process.record.pid} on {process.record.host} has not ended "
            f"({process.state}); see: umd status {run.name}",
            err=True,
        )
    if not working:
        click.echo("nothing works on these runs")
    elif not left:
        click.echo("all have ended")
    raise SystemExit(1 if left else 0)


def _cancel_tasks(suite: Suite, *, now: bool) -> None:
    """Cancel what a suite has in Slurm: what waits, or all."""
    from evaluator.evaluation.cluster.slurm_records import read_slurm_record
    from evaluator.evaluation.cluster.slurm_status import cancel_all, cancel_waiting

    record = read_slurm_record(suite)
    if record is not None:
        cancel_all(record) if now else cancel_waiting(record)
        click.echo(f"suite {suite.name}: tasks in Slurm {'' if now else 'that wait '}cancelled")


def _remove_leftovers(runs: list[RunStore]) -> None:
    """Remove containers of processes that were killed on this machine."""
    from evaluator.containers.engines import open_engine
    from evaluator.containers.leftovers import remove_leftovers
    from evaluator.errors import UserError
    from evaluator.runs.processes import read_processes

    by_engine: dict[str, str] = {}
    for run in runs:
        if not read_processes(run.path):
            continue
        try:
            by_engine.setdefault(run.info().engine.name, run.name)
        except UserError:  # a damaged run.json says nothing of its engine
            continue
    for engine, name in by_engine.items():
        try:
            removed = remove_leftovers(open_engine(engine), name)
        except UserError as error:
            click.echo(f"containers of engine {engine} were not looked for: {error}", err=True)
            continue
        for entry in removed:
            click.echo(f"removed {entry}")
