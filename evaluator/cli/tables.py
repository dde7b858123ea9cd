"""Tables on the terminal, complete in a file: one module for every command that prints a table.

A cell is never cut. On a terminal, the columns of the highest ``level`` are left out until the
table fits, and a line below names them. Without a terminal, or with ``--wide``, every column is
printed. ``--csv`` prints the unrounded values, ``--markdown`` a table for a document.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from evaluator.runs.results import Group

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

Form = Literal["fit", "wide", "csv", "markdown"]

#: spaces between two columns
GAP = 2
#: least width of a column whose cells may be broken into lines
WRAPPED_WIDTH = 16
#: different texts of a column that is left out, which are listed below the table
MAX_TEXTS = 5
_CHOSEN = "evaluator.cli.tables.form"
_HEADER = "evaluator.cli.tables.header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    #: name in CSV files
    name: str
    #: heading elsewhere, with line breaks for wide tables; empty: the name, with spaces
    heading: str = ""
    #: left-aligned text; else right-aligned
    text: bool = False
    #: 0: always shown; on a narrow terminal all columns of the highest level are left out first
    level: int = 0
    #: long texts, which may be broken into lines; if left out, they are listed below the table
    wraps: bool = False
    #: on a narrow terminal, a text that all rows share is written once, above them
    shared: bool = False
    #: decimals of fractions, except in CSV files
    digits: int = 3

    @property
    def title(self) -> str:
        """The heading, on one line."""
        return self._heading.replace("\n", " ")

    @property
    def _heading(self) -> str:
        return self.heading or self.name.replace("_", " ")

    def heading_width(self, *, narrow: bool) -> int:
        """Characters that the heading needs, broken at each space or only where it says so."""
        text = self.title if narrow else self._heading
        return max(map(len, text.split(" " if narrow else "\n")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells by row and column: text, numbers, None, or (low, high) for an interval."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    #: what all rows have in common, by name; the first columns in CSV files
    common: Mapping[str, str] = field(default_factory=dict)


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
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def to_lines(table: Table, width: int | None) -> list[str]:
    """Lay a table out as plain text.

    Args:
        table: the table.
        width: characters in a line; None: any number.

    Returns:
        The lines. No cell is cut: if even the columns of level 0 are too wide, lines are longer
        than ``width``.
    """
    cells = _cells(table)
    chosen = list(range(len(table.columns)))
    lines = [table.title] if table.title else []
    if width is not None and _total(table, cells, chosen, width) > width:
        shared = [index for index in chosen if _is_shared(table, cells, index)]
        lines += [f"{table.columns[index].title}: {cells[0][index]}" for index in shared]
        chosen = [index for index in chosen if index not in shared]
    left_out: list[int] = []
    while width is not None and _total(table, cells, chosen, width) > width:
        level = max(table.columns[index].level for index in chosen)
        if level == 0:
            break
        left_out += [index for index in chosen if table.columns[index].level == level]
        chosen = [index for index in chosen if index not in left_out]
    widths = _widths(table, cells, chosen, width)
    lines += _row_lines(table, [column.title for column in table.columns], chosen, widths)
    lines.append("─" * (sum(widths) + GAP * (len(widths) - 1)))
    for row in cells:
        lines += _row_lines(table, row, chosen, widths)
    return lines + _describe_left_out(table, cells, sorted(left_out), width or 80)


def _describe_left_out(
    table: Table, cells: list[list[str]], left_out: list[int], width: int
) -> list[str]:
    """Name the columns that are left out, and list the texts of those that wrap."""
    if not left_out:
        return []
    lines = []
    for index in left_out:
        column = table.columns[index]
        counts = Counter(row[index] for row in cells if row[index]) if column.wraps else Counter()
        for text, count in counts.most_common(MAX_TEXTS):
            lines += _wrap(f"{column.title} of {count} of {len(cells)} rows: {text}", width)
        if len(counts) > MAX_TEXTS:
            rows = sum(counts.values()) - sum(n for _, n in counts.most_common(MAX_TEXTS))
            lines += _wrap(f"{column.title} of {rows} further rows: --wide", width)
    names = ", ".join(table.columns[index].title for index in left_out)
    text = f"Left out for width: {names}. --wide, --csv and --markdown have all columns."
    return lines + _wrap(text, width)


def _is_shared(table: Table, cells: list[list[str]], index: int) -> bool:
    texts = {row[index] for row in cells}
    return table.columns[index].shared and len(cells) > 1 and len(texts) == 1


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _cells(table: Table) -> list[list[str]]:
    """Every cell as text."""
    digits = [column.digits for column in table.columns]
    return [list(map(format_cell, row, digits)) for row in table.rows]


def _minimum(table: Table, cells: list[list[str]], index: int, width: int | None) -> int:
    """The least width of a column, for its cells and its heading."""
    column = table.columns[index]
    widest = max((len(row[index]) for row in cells), default=0)
    if column.wraps:
        words = (word for row in cells for word in row[index].split())
        widest = min(widest, max(WRAPPED_WIDTH, *map(len, words), 0))
    return max(widest, column.heading_width(narrow=width is not None))


def _total(table: Table, cells: list[list[str]], chosen: list[int], width: int | None) -> int:
    return sum(_minimum(table, cells, n, width) for n in chosen) + GAP * (len(chosen) - 1)


def _widths(
    table: Table, cells: list[list[str]], chosen: list[int], width: int | None
) -> list[int]:
    """The width of each chosen column; columns that wrap share what is left of the line."""
    widths = [_minimum(table, cells, index, width) for index in chosen]
    for position, index in enumerate(chosen):
        if not table.columns[index].wraps:
            continue
        natural = max((len(row[index]) for row in cells), default=0)
        free = natural if width is None else width - sum(widths) - GAP * (len(widths) - 1)
        widths[position] = max(widths[position], min(natural, widths[position] + max(free, 0)))
    return widths


def _row_lines(table: Table, row: Sequence[str], chosen: list[int], widths: list[int]) -> list[str]:
    """One row, in as many lines as its longest cell needs."""
    parts = [_wrap(row[index], width) for index, width in zip(chosen, widths, strict=True)]
    lines = []
    for number in range(max(map(len, parts), default=0)):
        line = []
        for index, width, part in zip(chosen, widths, parts, strict=True):
            text = part[number] if number < len(part) else ""
            line.append(text.ljust(width) if table.columns[index].text else text.rjust(width))
        lines.append((" " * GAP).join(line).rstrip())
    return lines


def to_csv(table: Table) -> list[str]:
    """The lines of CSV; an interval has two columns, a missing value is empty."""
    pairs = [
        any(isinstance(row[index], tuple) for row in table.rows)
        for index in range(len(table.columns))
    ]
    header = list(table.common)
    for column, paired in zip(table.columns, pairs, strict=True):
        header += [f"{column.name}_low", f"{column.name}_high"] if paired else [column.name]
    lines = [header]
    for row in table.rows:
        values: list[Any] = list(table.common.values())
        for value, paired in zip(row, pairs, strict=True):
            values += (value or ("", "")) if paired else [value]
        lines.append(["" if _is_missing(value) else value for value in values])
    return [_csv_line(values) for values in lines]


def _csv_line(values: Sequence[Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(values)
    return file.getvalue()


def to_markdown(table: Table) -> str:
    """The table in Markdown."""
    lines = ["", table.title, ""] if table.title else [""]
    lines.append(_markdown_row(column.title for column in table.columns))
    lines.append(_markdown_row("---" if column.text else "---:" for column in table.columns))
    lines += map(_markdown_row, _cells(table))
    return "\n".join([*lines, ""])


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def format_cell(value: Any, digits: int = 3) -> str:
    """Format a value: "-" for a missing one, some decimals for a fraction, "low to high"."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        parts = [format_cell(part, digits) for part in value]
        return "-" if parts[0] == "-" else " to ".join(parts)
    if _is_missing(value):
        return "-"
    if isinstance(value, Integral):
        return str(value)
    smallest = 10**-digits
    return f"<{smallest:.{digits}f}" if 0 < value < smallest / 2 else f"{value:.{digits}f}"


def _is_missing(value: Any) -> bool:
    """True for None, NaN and pandas' NA, without importing pandas."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


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
