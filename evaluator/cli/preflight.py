"""``umd models preflight``: whether a model's weights are the expected ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import PATH, json_option

if TYPE_CHECKING:
    from evaluator.zoo.sources import Sources

STATES = {"ok": "ok", "failed": "FAILED", "unknown": "unknown", "not-run": "not run"}


@click.command(epilog="Example: umd models preflight vista3d --bundle bundle")
@click.argument("name")
@click.option("--weights", type=PATH, help="Folder of weights, laid out as /opt/ml/model.")
@click.option("--bundle", type=PATH, help="Bundle made by umd models fetch.")
@click.option(
    "--record",
    multiple=True,
    metavar="INTO=FILE",
    help="For developers: record the tensors of FILE in --weights (made with random:full) as those "
    "that INTO of sources.toml must have.",
)
@click.option("--ignore", multiple=True, metavar="TEXT", help="With --record: names to leave out.")
@click.option("--prefix", default="", help="With --record: of names; the loader removes it.")
@json_option("check")
def preflight(
    name: str,
    weights: Path | None,
    bundle: Path | None,
    record: tuple[str, ...],
    ignore: tuple[str, ...],
    prefix: str,
    as_json: bool,
) -> None:
    """Check image, weights, texts, licences, disk and GPU of model NAME before a run.

    Files are read, and no code in them is executed. A wrong file is named as what it is. Exit code
    0: nothing failed; 1: a check failed. "unknown" is not a failure: nobody has published what the
    check would need.
    """
    from dataclasses import asdict

    from evaluator.errors import UserError
    from evaluator.zoo import find_model
    from evaluator.zoo.preflight.checks import preflight as run_checks
    from evaluator.zoo.sources import read_sources

    model = find_model(name)
    sources = read_sources(name)
    if sources is None or not sources.weights:
        raise UserError(f"model {name} has no published weights to check")
    if record:
        from evaluator.zoo.preflight.recording import record_expectations

        if weights is None:
            raise UserError("--record needs --weights with the files of random:full")
        names = dict(entry.split("=", 1) for entry in record if "=" in entry)
        click.echo(record_expectations(name, weights, names, ignore, prefix))
        return
    results = list(run_checks(model, sources, _folder(name, sources, weights, bundle)))
    width = max(len(result.check) for result in results)
    for result in results:
        if as_json:
            click.echo(json.dumps(asdict(result)))
        else:
            click.echo(f"{STATES[result.state]:8} {result.check:{width}}  {result.detail}")
    raise SystemExit(1 if any(result.state == "failed" for result in results) else 0)


def _folder(name: str, sources: Sources, weights: Path | None, bundle: Path | None) -> Path | None:
    """The folder of weights: the user's choice, else that of the bundle; None if there is none."""
    from evaluator import paths
    from evaluator.errors import UserError

    if weights and bundle:
        raise UserError("give --weights or --bundle, not both")
    if weights is not None and not weights.is_dir():
        raise UserError(f"--weights {weights}: there is no such folder")
    folder = weights or (bundle or paths.cache() / "bundle") / name / "weights"
    has_files = any((folder / download.into).exists() for download in sources.weights)
    return folder if weights or has_files else None
