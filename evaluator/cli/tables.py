"""What ``umd compare`` and ``umd rank`` print alike: a group's heading with its warnings, and tables of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evaluator.runs.results import Group

#: columns of words; the others hold figures
_WORDS = ("model", "other", "modality_pair", "target", "modality", "order", "verdict", "")


def print_heading(group: Group) -> None:
    """Say which dataset and protocol follow, and all that a reader must know before any figure."""
    synthetic = (
        "SYNTHETIC DATA: these figures say nothing about patients. " if group.synthetic else ""
    )
    origins = ", ".join(dict.fromkeys(run.reference_origin for run in group.results.runs))
    click.echo(
        f"\n{group.dataset}, protocol {group.protocol.id}. {synthetic}References: {origins}."
    )
    for run in group.results.runs:
        if run.random_weights:
            click.echo(f"{run.label}: RANDOM WEIGHTS, NOT A RESULT.")
        if run.reproducibility in ("keeps-state", "not-deterministic"):
            click.echo(
                f"{run.label}: {run.reproducibility.upper().replace('-', ' ')}; see umd show {run.name}."
            )


def print_table(title: str | None, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows of figures under their columns' names, wide where it is not a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in names:
        table.add_column(
            name.replace("_", " "),
            justify="left" if name in _WORDS else "right",
            no_wrap=name not in ("", "order"),
        )
    for row in rows:
        table.add_row(*map(figure, row))
    console = Console(highlight=False, soft_wrap=True)
    Console(highlight=False, width=None if console.is_terminal else 220).print(table, markup=False)


def figure(value: Any) -> str:
    """A figure in a table's cell: "-" for none, three places for a fraction."""
    import pandas as pd

    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    if isinstance(value, int):
        return str(value)
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"
