"""``umd organs``: the names of targets, with tolerances and text prompts."""

from __future__ import annotations

import json
from typing import Any

import click

from evaluator.cli.options import json_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_note, print_table, table_options

_COLUMNS = (
    Column(name="target", text=True),
    Column(name="organ", text=True),
    Column(name="tolerance_mm", heading="NSD tolerance,\nmm", digits=1),
    Column(name="kind", text=True, level=2),
    Column(name="synonyms", text=True, wraps=True, level=1),
    Column(name="source", text=True, wraps=True, level=1),
)


@click.command(epilog="Example: umd organs Liver kidney_left GTV-1")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@table_options
@json_option("target")
def organs(targets: tuple[str, ...], *, as_json: bool) -> None:
    """List the names of targets that umd knows, with synonyms, NSD tolerances and their sources.

    With TARGET, show what these names are taken for. A name is known in any case, with spaces,
    underscores or dashes.
    """
    from evaluator.manifests.organs import load_organs

    known = load_organs()
    rows: list[dict[str, Any]] = []
    for target in targets or known.names():
        name = known.find(target)
        row: dict[str, Any] = {
            "target": target,
            "organ": name,
            "tolerance_mm": known.tolerance_mm(target),
            "kind": known.kind(target),
            "synonyms": list(known.texts(target)) if name else [],
            "source": known.source(target),
            "similar": [] if name else list(known.near(target)),
        }
        rows.append(row)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    cells = []
    for row in rows:
        values = row | {"synonyms": ", ".join(row["synonyms"])}
        cells.append([values[column.name] for column in _COLUMNS])
    print_table(Table(columns=_COLUMNS, rows=cells))
    for row in rows:
        if row["organ"] is None:
            near = ", ".join(row["similar"])
            hint = f"; similar: {near}" if near else ""
            print_note(
                f"{row['target']} is not known: its tolerance is the default, and models that go "
                f"by name may not know it{hint}"
            )
