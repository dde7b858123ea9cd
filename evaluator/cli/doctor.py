"""``umd doctor``: check this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from evaluator.cli.options import json_option


@click.command(epilog="Example: umd doctor --json")
@json_option("finding")
@click.option("--sweep", is_flag=True, help="Remove containers and working folders of killed runs.")
def doctor(as_json: bool, sweep: bool) -> None:
    """Check what this machine has, what is missing, and how to get it.

    Exit code 1 if models cannot be run.
    """
    from evaluator.doctor import examine

    findings = examine(sweep=sweep)
    for finding in findings:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            advice = f"\n     {finding.advice}" if finding.advice else ""
            click.echo(f"{finding.state:7} {finding.what}: {finding.detail}{advice}")
    raise SystemExit(1 if any(finding.state == "missing" for finding in findings) else 0)
