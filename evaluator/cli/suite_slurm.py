"""``umd suite slurm`` and ``umd suite gather``: a suite on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.cli.options import PATH, data_root_option, unregistered_option

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.evaluation.run_config import RunConfig
    from evaluator.evaluation.suites import SuiteRunResult
    from evaluator.manifests.suites import Suite


@click.command(epilog="Example: umd suite slurm cpu --site site.toml --dry-run")
@click.argument("name")
@click.option("--site", "site_file", type=PATH, metavar="FILE", help="TOML file of the cluster.")
@click.option(
    "--shards",
    type=click.IntRange(1),
    metavar="N",
    help="Tasks into which each run is divided (default: the site's).",
)
@click.option("--dry-run", is_flag=True, help="Print the scripts; write and submit nothing.")
@click.option(
    "--resubmit",
    is_flag=True,
    help="Submit the tasks that are not done and not with Slurm, as often as the site allows.",
)
@data_root_option
@click.option("--force", is_flag=True, help="Run in spite of errors in the data.")
@unregistered_option
def slurm(
    name: str,
    site_file: Path | None,
    shards: int | None,
    dry_run: bool,
    resubmit: bool,
    data_root: Path | None,
    force: bool,
    unregistered: bool,
) -> None:
    """Submit suite NAME (or a .toml file) to Slurm: an array of tasks for each model.

    A task is a shard of one run. It asks for what the model's card says. After the arrays, one job
    writes the tables, and another one the report. Scripts and logs are in suites/NAME.slurm, beside
    the runs. umd status tells how far the tasks are.
    """
    from evaluator.evaluation.cluster.jobs import suite_jobs
    from evaluator.evaluation.cluster.slurm_suite import slurm_scripts, submit_suite
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.manifests.sites import load_site
    from evaluator.manifests.suites import load_suite

    suite, site = load_suite(name), load_site(site_file)
    if shards is not None:
        site = site.model_copy(update={"shards": shards})
    config = RunConfig(
        model="",
        dataset="",
        engine=site.engine,
        data_root=data_root,
        force=force,
        unregistered=unregistered,
    )
    planned = suite_jobs(suite, config)
    scripts = slurm_scripts(suite, name, planned, config, site)
    for result in scripts.refused:
        click.echo(f"cannot run: {_title(result)}: {result.reason}", err=True)
    if dry_run:
        for file, text in scripts.texts.items():
            click.echo(f"### {file}\n{text}")
        return
    record = submit_suite(suite, name, scripts, planned, site, again=resubmit)
    for array in record.arrays:
        for entry in array.submissions[-1:]:
            tasks = ",".join(map(str, entry.tasks))
            click.echo(f"{array.model}: job {entry.job}, tasks {tasks}, script {array.script}")
    click.echo(f"tables: job {record.gather[-1].job}")
    if record.report:
        click.echo(f"report: job {record.report[-1].job}")
    click.echo(f"next: umd status --suite {name}")


@click.command(epilog="Example: umd suite gather cpu")
@click.argument("name")
@data_root_option
@unregistered_option
def gather(name: str, data_root: Path | None, unregistered: bool) -> None:
    """Write the tables of all runs of suite NAME that were done in shards.

    The exit code is 1 if a run was not begun or lacks scans.
    """
    from evaluator.evaluation.cluster.gather_suite import gather_suite
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.manifests.suites import load_suite
    from evaluator.runs.store import find_run

    suite = load_suite(name)
    config = RunConfig(model="", dataset="", data_root=data_root, unregistered=unregistered)
    complete = True
    for result in gather_suite(suite, _runs(suite, config)):
        run = find_run(result.run) if result.run else None
        missing = run.missing_scans() if run else 0
        status = result.run or result.reason
        click.echo(f"{_title(result)}: {status}{f', lacks {missing} scans' if missing else ''}")
        complete &= run is not None and not missing
    raise SystemExit(0 if complete else 1)


def _runs(suite: Suite, config: RunConfig) -> list[SuiteRunResult]:
    """The suite's runs by name: as they were submitted, else as they would be made here."""
    from evaluator.evaluation.cluster.jobs import suite_jobs
    from evaluator.evaluation.cluster.slurm_records import read_slurm_record
    from evaluator.evaluation.suites import SuiteRunResult

    record = read_slurm_record(suite)
    if record is None:
        planned = suite_jobs(suite, config)
        jobs = [
            SuiteRunResult(model=job.model, dataset=job.dataset, protocol=job.protocol, run=job.run)
            for job in planned.jobs
        ]
        return [*jobs, *planned.refused]
    results: dict[str, SuiteRunResult] = {}
    for array in record.arrays:
        for task in array.tasks:
            results[task.run] = SuiteRunResult(
                model=array.model, dataset=task.dataset, protocol=task.protocol, run=task.run
            )
    return [*results.values(), *record.refused]


def _title(result: SuiteRunResult) -> str:
    return f"{result.model} on {result.dataset} under {result.protocol}"
