"""Tables: one content, shown in a page and kept as CSV, LaTeX and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.files import csv_bytes
from evaluator.metrics.metric_table import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in one place of a table."""

    text: str
    #: beneath it in small print: n, failures, interval
    small: str = ""
    #: what the column is sorted by, where that is not the text
    sort: float | str | None = None
    #: one of the style sheet's classes
    kind: str = ""
    #: ground and ink of a heat map's cell
    heat: tuple[str, str] | None = None
    #: a page to go to
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's heading; ``words`` are set flush left, figures flush right."""

    title: str
    words: bool = False
    help: str = ""
    #: a rule stands before it
    starts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with all that is kept of it; the first cell of each row names the row."""

    #: name of its files
    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    #: the figures behind it, as they go into the CSV
    data: pd.DataFrame
    #: what to know when reading it
    note: str = ""
    #: headings above the columns: text and how many columns it spans
    upper: Sequence[tuple[str, int]] = ()
    warnings: Sequence[str] = field(default_factory=tuple)


def number(value: Any, digits: int = 3, *, sign: bool = False) -> str:
    """A figure for the eye, with a true minus; a dash where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    text = f"{float(value):{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def digits_of(metric: str) -> int:
    """How many decimals a metric is told with."""
    return 3 if METRICS[metric].unit == "" else 1


def interval(low: Any, high: Any, digits: int = 3, *, sign: bool = False) -> str:
    """An interval in square brackets; a dash where there is none."""
    if pd.isna(low) or pd.isna(high):
        return NOTHING
    return f"[{number(low, digits, sign=sign)}, {number(high, digits, sign=sign)}]"


def probability(p: Any) -> str:
    """A p value as journals print it."""
    if pd.isna(p):
        return NOTHING
    return "<0.001" if p < 0.001 else number(p, 3)


def figure_cell(
    value: Any, digits: int = 3, *, small: str = "", sign: bool = False, kind: str = ""
) -> Cell:
    """A figure that sorts by itself."""
    missing = pd.isna(value)
    return Cell(
        text=number(value, digits, sign=sign),
        small=small,
        sort=None if missing else float(value),
        kind=f"{kind} nothing".strip() if missing else kind,
    )


def cell_text(value: Any) -> str:
    """The text of a cell of a frame; empty for NA."""
    return "" if pd.isna(value) else str(value)


def families_text(rows: pd.DataFrame) -> str:
    """The families of tests of these rows as a sentence; empty without any."""
    present = rows["family"].dropna()
    return (
        f"Holm’s families: {'; '.join(dict.fromkeys(map(str, present)))}." if len(present) else ""
    )


def as_csv(data: pd.DataFrame, warnings: Sequence[str]) -> str:
    """The figures as CSV; what must be known of them goes along in a first column."""
    if warnings:
        data = data.copy()
        data.insert(0, "note", "; ".join(warnings))
    return csv_bytes(data).decode()


def as_markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    heads = [
        _joined(column.title, head)
        for column, head in zip(table.columns, _uppers(table), strict=True)
    ]
    lines = [
        f"**{table.title}**",
        "",
        _row(heads),
        _row("---" if column.words else "--:" for column in table.columns),
    ]
    for row in table.rows:
        lines.append(_row(_escape_markdown(_with_small(cell)) for cell in row))
    parts = [*table.warnings, *([table.note] if table.note else [])]
    return "\n".join([*lines, *(["", *parts] if parts else [])]) + "\n"


def as_latex(table: Table) -> str:
    """The table in LaTeX, with booktabs."""
    shape = "".join("l" if column.words else "r" for column in table.columns)
    caption = " ".join([table.title + ".", *table.warnings, table.note]).strip()
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_latex(caption)}}}",
    ]
    lines += [rf"\label{{tab:{table.name}}}", rf"\begin{{tabular}}{{{shape}}}", r"\toprule"]
    if table.upper:
        lines.append(
            " & ".join(
                rf"\multicolumn{{{span}}}{{c}}{{{_latex(text)}}}" for text, span in table.upper
            )
            + r" \\"
        )
    lines.append(" & ".join(_latex(column.title) for column in table.columns) + r" \\")
    lines.append(r"\midrule")
    for row in table.rows:
        lines.append(" & ".join(_latex(_with_small(cell)) for cell in row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _uppers(table: Table) -> list[str]:
    spread: list[str] = []
    for text, span in table.upper:
        spread += [text] * span
    return spread or [""] * len(table.columns)


def _joined(title: str, upper: str) -> str:
    return _escape_markdown(f"{upper} {title}".strip())


def _with_small(cell: Cell) -> str:
    return f"{cell.text} ({cell.small})" if cell.small else cell.text


def _escape_markdown(text: str) -> str:
    return (
        text.replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("`", "\\`")
        .replace("\n", " ")
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": r"$-$",
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "\n": " ",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


#: DICOM's codes as physicians say them
MODALITY_NAMES = {"CT": "CT", "MR": "MR", "PT": "PET"}


SCANNER = {"CT-PT": "PET/CT", "MR-PT": "PET/MR"}


def count_noun(n: int, word: str) -> str:
    """A number with its noun: "1 subject", "2 subjects"."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """The rows in order; a cell without a fact is pandas' NA or NaN."""
    return list(frame.itertuples(index=False))
