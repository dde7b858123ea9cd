"""``umd log``: what the model of a run printed."""

from __future__ import annotations

import click


@click.command(epilog="Example: umd log region-growing.phantom.paper.1a2b3c4d --lines 50")
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--lines", type=click.IntRange(1), help="Only the last lines (default: all).")
def log(name: str | None, lines: int | None) -> None:
    """Print the model's log of RUN (a name or folder; default: the newest run).

    It is what the model's container wrote to standard error.
    """
    from evaluator.errors import UserError
    from evaluator.runs.names import newest_run, open_run

    run = open_run(name) if name else newest_run()
    path = run.path / "model.log"
    if not path.is_file():
        raise UserError(f"run {run.name} has no log; the model was not started, or is silent")
    printed = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not printed:
        click.echo(f"the model of run {run.name} printed nothing", err=True)
    start = max(len(printed) - lines, 0) if lines else 0
    for line in printed[start:]:
        click.echo(line)
