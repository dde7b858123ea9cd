"""``umd score``: scores made again from a run's masks."""

from __future__ import annotations

import click


@click.command(epilog="Example: umd score region-growing.phantom.paper.1a2b3c4d")
@click.argument("name", metavar="RUN")
def score(name: str) -> None:
    """Score the masks of RUN (its name or folder) again, without any container."""
    from evaluator.cli.show import print_table
    from evaluator.score import score_run
    from evaluator.store import open_run

    run = open_run(name)
    score_run(run, say=lambda line: click.echo(line, err=True))
    print_table(run)
