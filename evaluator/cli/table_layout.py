"""A table as text: in columns of a terminal's width, as CSV, or in Markdown.

A cell is never cut. Where a table is too wide, the columns of the highest ``level`` are left out
until it fits, and a line below names them.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


#: spaces between two columns
GAP = 2


#: least width of a column whose cells may be broken into lines
WRAPPED_WIDTH = 16
#: different texts of a column that is left out, which are listed below the table
MAX_TEXTS = 5


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
