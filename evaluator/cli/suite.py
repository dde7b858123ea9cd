"""``umd suite``: many models on many datasets."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.evaluation.run_config import RunConfig


@click.group(epilog="Example: umd suite run cpu")
def suite() -> None:
    """List, show and run suites: many models on many datasets, with a control."""


@suite.command("list", epilog="Example: umd suite list --json")
@click.option("--json", "as_json", is_flag=True, help="One object for each suite.")
def list_(as_json: bool) -> None:
    """List the project's suites."""
    from evaluator.manifests.suites import load_suite, suite_names

    for name in suite_names():
        found = load_suite(name)
        click.echo(found.model_dump_json() if as_json else f"{name:16} {found.title}")


@suite.command(epilog="Example: umd suite show cpu")
@click.argument("name")
def show(name: str) -> None:
    """Show what suite NAME runs, and how its runs ended."""
    from evaluator.errors import UserError
    from evaluator.evaluation.suites import describe, suite_runs
    from evaluator.manifests.suites import load_suite

    found = load_suite(name)
    for line in describe(found):
        click.echo(line)
    try:
        for one in suite_runs(found):
            click.echo(
                f"{one.model} on {one.dataset} under {one.protocol}: {one.run or one.reason}"
            )
    except UserError as error:
        click.echo(error)


@suite.command(epilog="Example: umd suite sanity my-suite.toml")
@click.argument("name")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One object for each model, dataset, protocol and overlap score.",
)
def sanity(name: str, as_json: bool) -> None:
    """Say for the models of suite NAME whether a collapse is theirs or the pipeline's, by the suite's control."""
    from evaluator.analysis.comparison.output import plain
    from evaluator.analysis.control_check import check_control
    from evaluator.errors import UserError
    from evaluator.manifests.suites import load_suite

    found = load_suite(name)
    verdicts = check_control(found)
    if verdicts is None:
        raise UserError(
            f"suite {found.name} has no control; name a dataset that its models are known to work on"
        )
    for row in verdicts.to_dict("records"):
        if as_json:
            click.echo(
                json.dumps({str(key): plain(value) for key, value in row.items()}, allow_nan=False)
            )
        else:
            click.echo(
                f"{row['model']} on {row['target_dataset']} under {row['protocol']}, {row['metric']}: "
                f"{row['verdict']}; {row['explanation']}"
            )


@suite.command(epilog="Example: umd suite run cpu --engine local")
@click.argument("name")
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "podman", "local"]),
    default="auto",
    show_default=True,
    help="What runs the models; local isolates nothing.",
)
@click.option(
    "--gpus", default="all", show_default=True, help='"all", "none", or indices such as 0,1.'
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Folder that the datasets' paths are relative to.",
)
@click.option("--json", "as_json", is_flag=True, help="One object for each run.")
def run(name: str, engine: str, gpus: str, data_root: Path | None, as_json: bool) -> None:
    """Run suite NAME (or the one in a .toml file): every model on every dataset under every protocol.

    Finished work is kept: after a stop, the same command goes on. Exit code 1 if a run could not be made.
    """
    from evaluator.cli.options import parse_gpus
    from evaluator.cli.progress import Progress
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.evaluation.suites import run_suite
    from evaluator.manifests.suites import load_suite

    found = load_suite(name)
    order = RunConfig(
        model="", dataset="", engine=engine, gpus=parse_gpus(gpus), data_root=data_root
    )
    with Progress(found.name) as shown:

        def progress(own: RunConfig) -> Callable[[int, int, str], None]:
            logger.info(f"{own.model} on {own.dataset} under {own.protocol}")
            return shown.step

        ended = run_suite(found, order, progress=progress)
    for one in ended:
        made = one.run or f"could not be run: {one.reason}"
        click.echo(
            json.dumps(asdict(one))
            if as_json
            else f"{one.model} on {one.dataset} under {one.protocol}: {made}"
        )
    runs = [one.run for one in ended if one.run]
    if runs and not as_json:
        click.echo(f"compare them: umd compare {' '.join(runs)}")
    raise SystemExit(0 if len(runs) == len(ended) else 1)
