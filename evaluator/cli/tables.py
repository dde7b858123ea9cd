"""What ``umd compare`` and ``umd rank`` print alike: a benchmark's heading, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evaluator.runs.results import Group

#: columns of text; the others hold numbers
_WORDS = ("model", "other", "modality_pair", "target", "modality", "order", "verdict", "")


def print_heading(group: Group) -> None:
    """Print dataset and protocol, and the warnings that apply to every number below."""
    warning = "SYNTHETIC DATA: these results do not apply to patients. " if group.synthetic else ""
    origins = ", ".join(dict.fromkeys(run.reference_origin for run in group.results.runs))
    click.echo(f"\n{group.dataset}, protocol {group.protocol.id}. {warning}References: {origins}.")
    for run in group.results.runs:
        if run.random_weights:
            click.echo(f"{run.label}: RANDOM WEIGHTS, NOT A RESULT.")
        if run.reproducibility in ("keeps-state", "not-deterministic"):
            verdict = run.reproducibility.upper().replace("-", " ")
            click.echo(f"{run.label}: {verdict}; see umd show {run.name}.")


def print_table(title: str | None, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under the names of their columns; 220 characters wide if not to a terminal."""
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
        table.add_row(*map(format_cell, row))
    console = Console(highlight=False, soft_wrap=True)
    Console(highlight=False, width=None if console.is_terminal else 220).print(table, markup=False)


def format_cell(value: Any) -> str:
    """Format a value for a table: "-" for a missing one, three decimals for a fraction."""
    import pandas as pd

    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    if isinstance(value, int):
        return str(value)
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"
