"""Tables on the terminal, complete in a file: one module for every command that prints a table.

On a terminal, a table fits the width. Without a terminal, or with ``--wide``, every column is
printed. ``--csv`` prints the unrounded values, ``--markdown`` a table for a document.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from evaluator.cli.table_layout import Table, to_csv, to_lines, to_markdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.runs.results import Group

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

Form = Literal["fit", "wide", "csv", "markdown"]

_CHOSEN = "evaluator.cli.tables.form"
_HEADER = "evaluator.cli.tables.header"


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--wide``, ``--csv`` and ``--markdown`` to a command that prints tables."""
    options = (
        ("markdown", "Print tables in Markdown, with all columns."),
        ("csv", "Print tables as CSV, with all columns and unrounded numbers."),
        ("wide", "Print all columns, whatever the width of the terminal."),
    )
    for form, text in options:
        add = click.option(
            f"--{form}", is_flag=True, expose_value=False, callback=choose_form, help=text
        )
        command = add(command)
    return command


def choose_form(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Note the form that an option asks for, ``--json`` included; raise UsageError for two."""
    if value:
        form = str(parameter.opts[0]).removeprefix("--")
        if context.meta.setdefault(_CHOSEN, form) != form:
            raise click.UsageError(f"choose one of --{context.meta[_CHOSEN]} and --{form}")
    return value


def chosen_form() -> Form:
    """The form that the options of the present command chose; without one, "fit"."""
    context = click.get_current_context(silent=True)
    form: Form = context.meta.get(_CHOSEN, "fit") if context else "fit"
    return form


def print_table(table: Table, form: Form | None = None) -> None:
    """Print one table.

    Args:
        table: what to print.
        form: how; None: as the command's options say.
    """
    form = form or chosen_form()
    if form == "csv":
        _print_csv(table)
        return
    if form == "markdown":
        click.echo(to_markdown(table))
        return
    width = None if form == "wide" else terminal_width()
    click.echo("\n".join(to_lines(table, width)))


def _print_csv(table: Table) -> None:
    """Print CSV; tables with equal columns are one, others follow an empty line."""
    header, *rows = to_csv(table)
    context = click.get_current_context(silent=True)
    before = context.meta.get(_HEADER) if context else None
    if context:
        context.meta[_HEADER] = header
    if before is not None and before != header:
        click.echo("")
    click.echo("\n".join(rows if before == header else [header, *rows]))


def print_note(text: str) -> None:
    """Print a sentence about tables: on standard error beside CSV, which stays a table."""
    click.echo(text, err=chosen_form() == "csv")


def terminal_width() -> int | None:
    """Characters in a line of the terminal; None if standard output is none."""
    if sys.stdout is None or not sys.stdout.isatty():  # None: standard output is closed
        return None
    return shutil.get_terminal_size().columns


def benchmark_of(group: Group) -> dict[str, str]:
    """Dataset and protocol, for ``Table.common``."""
    return {"dataset": group.dataset, "protocol": group.protocol.id}


def print_heading(group: Group) -> None:
    """Print dataset and protocol, and the warnings that apply to every number below."""
    from evaluator.analysis.data_warnings import warnings_of_runs

    warning = "SYNTHETIC DATA: these results do not apply to patients. " if group.synthetic else ""
    origins = ", ".join(dict.fromkeys(run.reference_origin for run in group.results.runs))
    print_note(f"\n{group.dataset}, protocol {group.protocol.id}. {warning}References: {origins}.")
    for run in group.results.runs:
        for text in run.warnings:
            print_note(f"{run.label}: {text}")
        if run.random_weights:
            print_note(f"{run.label}: RANDOM WEIGHTS, NOT A RESULT.")
        if run.reproducibility in ("keeps-state", "not-deterministic"):
            verdict = run.reproducibility.upper().replace("-", " ")
            print_note(f"{run.label}: {verdict}; see umd show {run.name}.")
    for line in warnings_of_runs(group.results.runs):
        print_note(line)
