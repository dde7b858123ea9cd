"""``umd models golden``: a model on an example whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evaluator.cli.options import (
    data_root_option,
    engine_option,
    json_option,
    weights_option,
)


@click.command(epilog="Example: umd models golden totalsegmentator --record")
@click.argument("name")
@engine_option
@weights_option
@data_root_option
@click.option("--record", is_flag=True, help="Write the result to docs/checks/golden/NAME.json.")
@json_option("check")
def golden(
    name: str,
    engine: str,
    weights: str,
    data_root: Path | None,
    record: bool,
    as_json: bool,
) -> None:
    """Run model NAME on an example whose organs are known, and on changed copies of it.

    Every organ must reach a floor. In each copy the answer must become worse: header flipped left
    to right, 1024 HU too much, clicks outside of the organ, as applicable. Exit code 1 if a check
    fails. With random weights it fails.
    """
    from dataclasses import asdict

    from evaluator.evaluation.golden import run_golden
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.zoo import find_model
    from evaluator.zoo.conformance.golden_record import write_golden

    config = RunConfig(model=name, dataset="", engine=engine, weights=weights, data_root=data_root)
    outcome = run_golden(find_model(name).card, config)
    checks: list[dict[str, Any]] = [asdict(result) for result in outcome.checks]
    for result in outcome.checks:
        state = "ok  " if result.ok else "FAIL"
        line = f"{state} {result.check}: {result.detail}"
        click.echo(json.dumps(asdict(result)) if as_json else line)
    if record:
        info = outcome.run.info()
        path = write_golden(
            name,
            weights=info.weights.name,
            sha256=info.weights.sha256,
            image=info.identity.image,
            checks=checks,
        )
        click.echo(f"recorded in {path}; umd models badges updates docs/models.md", err=True)
    raise SystemExit(0 if all(result.ok for result in outcome.checks) else 1)
