"""``umd suite``: many models on many datasets."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import (
    data_root_option,
    engine_option,
    gpus_option,
    json_option,
    parse_gpus,
    parse_per_gpu,
    per_gpu_option,
    unregistered_option,
)
from evaluator.cli.suite_slurm import gather, slurm

logger = logging.getLogger(__name__)

#: parts of each run on the workers of dask
SHARDS = 4

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evaluator.evaluation.run_config import RunConfig
    from evaluator.evaluation.suites import SuiteRunResult
    from evaluator.manifests.suites import Suite


@click.group(epilog="Example: umd suite run cpu")
def suite() -> None:
    """List, show and run suites: many models on many datasets, with a control dataset."""


suite.add_command(slurm)
suite.add_command(gather)


@suite.command("list", epilog="Example: umd suite list --json")
@click.option("--json", "as_json", is_flag=True, help="One object for each suite.")
def list_(as_json: bool) -> None:
    """List the project's suites."""
    from evaluator.manifests.suites import load_suite, suite_names

    for name in suite_names():
        manifest = load_suite(name)
        click.echo(manifest.model_dump_json() if as_json else f"{name:16} {manifest.title}")


@suite.command(epilog="Example: umd suite show cpu")
@click.argument("name")
def show(name: str) -> None:
    """Show what suite NAME runs, and the status of its runs."""
    from evaluator.errors import UserError
    from evaluator.evaluation.suites import describe, suite_runs
    from evaluator.manifests.suites import load_suite

    manifest = load_suite(name)
    for line in describe(manifest):
        click.echo(line)
    try:
        for result in suite_runs(manifest, name):
            status = result.run or result.reason
            click.echo(f"{result.model} on {result.dataset} under {result.protocol}: {status}")
    except UserError as error:
        click.echo(error)


@suite.command(epilog="Example: umd suite plan umd-paper")
@click.argument("name")
@data_root_option
@click.option("--json", "as_json", is_flag=True, help="One object for each line.")
def plan(name: str, data_root: Path | None, as_json: bool) -> None:
    """Say what suite NAME still needs on this machine, with the command that brings it.

    Nothing is fetched, built or run. Exit code 1 if something is missing.
    """
    from evaluator.evaluation.suite_plan import plan_suite
    from evaluator.manifests.suites import load_suite

    lines = list(plan_suite(load_suite(name), data_root))
    for line in lines:
        if as_json:
            click.echo(json.dumps(asdict(line)))
            continue
        click.echo(f"{line.state:8} {line.of:22} {line.detail}")
        if line.command:
            click.echo(f"{'':31} {line.command}")
    raise SystemExit(1 if any(line.state == "missing" for line in lines) else 0)


@suite.command(epilog="Example: umd suite control my-suite.toml")
@click.argument("name")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One object for each model, dataset, protocol and overlap score.",
)
def control(name: str, as_json: bool) -> None:
    """Check the models of suite NAME on its control dataset.

    The result separates model failure from pipeline errors where a model scores near zero.
    """
    from evaluator.analysis.comparison.output import plain
    from evaluator.analysis.control_check import check_control
    from evaluator.errors import UserError
    from evaluator.manifests.suites import load_suite

    manifest = load_suite(name)
    verdicts = check_control(manifest)
    if verdicts is None:
        raise UserError(
            f"suite {manifest.name} has no control dataset; "
            "name a dataset on which its models are known to work"
        )
    if verdicts.empty:
        raise UserError(
            f"suite {manifest.name} has scores on its control dataset only; there is no other "
            "dataset to judge"
        )
    for row in verdicts.to_dict("records"):
        if as_json:
            cells = {str(key): plain(value) for key, value in row.items()}
            click.echo(json.dumps(cells, allow_nan=False))
            continue
        click.echo(
            f"{row['model']} on {row['target_dataset']} under {row['protocol']}, {row['metric']}: "
            f"{row['verdict']}; {row['explanation']}"
        )


@suite.command(epilog="Example: umd suite run cpu --engine local")
@click.argument("name")
@engine_option
@gpus_option
@per_gpu_option
@data_root_option
@click.option("--force", is_flag=True, help="Run in spite of errors in the data.")
@unregistered_option
@click.option(
    "--scheduler",
    metavar="ADDRESS|FILE",
    help="Scheduler of dask.distributed whose workers do the suite: its address, or the .json file "
    "that it wrote. All machines share the folder of runs.",
)
@click.option(
    "--shards",
    type=click.IntRange(1),
    metavar="N",
    help=f"With --scheduler: parts into which each run is divided (default: {SHARDS}).",
)
@json_option("run")
def run(
    name: str,
    engine: str,
    gpus: str,
    per_gpu: str,
    data_root: Path | None,
    force: bool,
    unregistered: bool,
    scheduler: str | None,
    shards: int | None,
    as_json: bool,
) -> None:
    """Run suite NAME (or a .toml file): every model on every dataset under every protocol.

    If interrupted, the same command resumes the suite. The exit code is 1 if a run failed.
    """
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.manifests.suites import load_suite

    manifest = load_suite(name)
    config = RunConfig(
        model="",
        dataset="",
        engine=engine,
        gpus=parse_gpus(gpus),
        per_gpu=parse_per_gpu(per_gpu),
        data_root=data_root,
        force=force,
        unregistered=unregistered,
    )
    if scheduler is None:
        if shards is not None:
            raise click.UsageError("--shards is for --scheduler; write both, or neither")
        results = _run_here(manifest, config)
    else:
        if gpus != "all":
            raise click.UsageError("with --scheduler, each worker has its own GPUs; omit --gpus")
        results = _run_on_workers(manifest, config, scheduler, shards or SHARDS)
    for result in results:
        if as_json:
            click.echo(json.dumps(asdict(result)))
            continue
        status = result.run or f"could not be run: {result.reason}"
        click.echo(f"{result.model} on {result.dataset} under {result.protocol}: {status}")
    runs = [result.run for result in results if result.run]
    if runs and not as_json:
        click.echo(f"compare them: umd compare {' '.join(runs)}")
    raise SystemExit(0 if len(runs) == len(results) else 1)


def _run_here(suite: Suite, config: RunConfig) -> Sequence[SuiteRunResult]:
    """The runs of a suite on this machine, one after another."""
    from evaluator.cli.progress import Progress
    from evaluator.evaluation.suites import run_suite

    with Progress(suite.name) as bar:

        def progress(started: RunConfig) -> Callable[[int, int, str], None]:
            bar.start(f"{started.model} on {started.dataset} under {started.protocol}")
            return bar.step

        return run_suite(suite, config, progress=progress)


def _run_on_workers(
    suite: Suite, config: RunConfig, scheduler: str, shards: int
) -> Sequence[SuiteRunResult]:
    """The runs of a suite on the workers of dask."""
    from evaluator.evaluation.cluster.dask_suite import run_on_workers
    from evaluator.evaluation.cluster.jobs import suite_jobs

    def tell(line: str) -> None:
        click.echo(line, err=True)

    planned = suite_jobs(suite, config)
    return run_on_workers(suite, planned, config, scheduler, shards=shards, tell=tell)
