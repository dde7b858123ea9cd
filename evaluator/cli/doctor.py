"""``umd doctor``: what this machine has and lacks."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command(epilog="Example: umd doctor --json")
@click.option("--json", "as_json", is_flag=True, help="One object for each finding.")
@click.option("--sweep", is_flag=True, help="Remove containers whose evaluator is gone.")
def doctor(as_json: bool, sweep: bool) -> None:
    """Say what this machine has, what it lacks, and how to get it. Exit code 1 if models cannot be run."""
    from evaluator.doctor import examine

    findings = examine(sweep=sweep)
    for finding in findings:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            advice = f"\n     {finding.advice}" if finding.advice else ""
            click.echo(f"{finding.state:7} {finding.what}: {finding.detail}{advice}")
    raise SystemExit(1 if any(finding.state == "missing" for finding in findings) else 0)
