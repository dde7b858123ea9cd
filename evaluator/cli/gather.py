"""``umd gather``: the tables of a run from the records of its scans."""

from __future__ import annotations

import click

from evaluator.cli.show import print_table
from evaluator.plain_text import counted


@click.command(epilog="Example: umd gather region-growing.phantom.paper.1a2b3c4d")
@click.argument("run")
def gather(run: str) -> None:
    """Write the tables of RUN (its name or folder) from the records of its scans, and show them.

    A run that was done in shards gets its tables when the last shard ends; this command writes them
    for the scans that are done so far.
    """
    from evaluator.runs.names import open_run
    from evaluator.runs.tables import gather as write_tables

    store = open_run(run)
    with store.writing():
        write_tables(store)
    count = sum(1 for _ in store.records())
    print_table(store)
    click.echo(f"gathered {counted(count, 'scan')}: {store.path}")
