"""Tables on the terminal: nothing is cut, and what is left out is named."""

from __future__ import annotations

import csv
import io
import sys

import click
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evaluator.cli.table_layout import Column, Table, format_cell, to_csv, to_lines, to_markdown
from evaluator.cli.tables import (
    choose_form,
    print_note,
    print_table,
    table_options,
    terminal_width,
)

COLUMNS = (
    Column(name="model", text=True, shared=True),
    Column(name="target", text=True),
    Column(name="difference"),
    Column(name="95", heading="95\u00a0%", level=1),
    Column(name="verdict", text=True),
    Column(name="remark", text=True, wraps=True, level=2),
)
ROWS = (
    ("ellipsoid", "kidney-left", -0.12345, (-0.2, -0.01), "different within margin", ""),
    ("ellipsoid", "liver", 0.5, None, "inconclusive", "fewer than five subjects"),
)
TABLE = Table(columns=COLUMNS, rows=ROWS, title="Title", common={"dataset": "tiny"})


def test_a_wide_table_has_all_columns_in_one_line_each():
    lines = to_lines(TABLE, None)
    assert lines[0] == "Title"
    assert lines[1].split("  ")[0] == "model"
    assert len(lines) == 3 + len(ROWS)
    assert "-0.123  -0.200 to -0.010  different within margin" in lines[3]
    assert lines[4].endswith("fewer than five subjects")


@pytest.mark.parametrize("width", [70, 60, 40, 20, 1])
def test_a_narrow_table_cuts_no_number_and_no_verdict(width):
    lines = to_lines(TABLE, width)
    text = "\n".join(lines)
    for word in ("-0.123", "different within margin", "inconclusive", "kidney-left"):
        assert word in text
    assert "…" not in text
    assert "model: ellipsoid" in lines
    flat = " ".join(text.split())
    assert "Left out for width: " in flat
    assert "remark of 1 of 2 rows: fewer than five subjects" in flat
    if width < 60:
        assert "95\u00a0%, remark." in text.replace("\n", " ")


@given(
    st.lists(
        st.tuples(
            st.text("abc -", min_size=1, max_size=30).map(str.strip),
            st.floats(-1e6, 1e6),
            st.integers(-(10**9), 10**9),
            st.text("xy ", max_size=80),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 120),
)
def test_whatever_the_width_the_cells_of_level_0_are_complete(rows, width):
    columns = (
        Column(name="name", text=True),
        Column(name="value"),
        Column(name="count", level=1),
        Column(name="long_text", text=True, wraps=True, level=2),
    )
    table = Table(columns=columns, rows=rows)
    lines = to_lines(table, width)
    needed = max(len(row[0]) for row in rows) + 2 + max(len(f"{row[1]:.3f}") for row in rows)
    assert max(map(len, lines)) <= max(width, needed, 30)
    for name, value, _, _ in rows:
        assert any(line.startswith(name) and format_cell(value) in line for line in lines)


def test_csv_has_unrounded_numbers_and_two_columns_for_an_interval():
    rows = list(csv.DictReader(io.StringIO("\n".join(to_csv(TABLE)))))
    assert rows[0]["dataset"] == "tiny"
    assert float(rows[0]["difference"]) == ROWS[0][2]
    assert (rows[0]["95_low"], rows[0]["95_high"]) == ("-0.2", "-0.01")
    assert (rows[1]["95_low"], rows[1]["95_high"]) == ("", "")


def test_markdown_escapes_the_separator():
    lines = to_markdown(Table(columns=(Column(name="|rve|"),), rows=[(0.5,)])).splitlines()
    assert lines[1:] == ["| \\|rve\\| |", "| ---: |", "| 0.500 |"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (pd.NA, "-"),
        (3, "3"),
        (0.0, "0.000"),
        (0.0004, "<0.001"),
        ((0.1, 0.2), "0.100 to 0.200"),
        ((None, None), "-"),
    ],
)
def test_format_cell(value, text):
    assert format_cell(value) == text


@click.command()
@table_options
@click.option("--json", "as_json", is_flag=True, callback=choose_form)
def example(as_json):
    for name in ("a", "b"):
        print_note(f"note {name}")
        print_table(Table(columns=COLUMNS, rows=ROWS, common={"dataset": name}))


def test_tables_of_equal_columns_are_one_csv_file_and_notes_are_apart():
    done = CliRunner().invoke(example, ["--csv"])
    assert [row["dataset"] for row in csv.DictReader(io.StringIO(done.stdout))] == list("aabb")
    assert done.stderr == "note a\nnote b\n"


def test_two_forms_are_refused():
    done = CliRunner().invoke(example, ["--csv", "--json"])
    assert done.exit_code == 2
    assert "choose one of --csv and --json" in done.output


def test_a_closed_standard_output_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert terminal_width() is None
