"""The Python page is executed; the statistics page covers all functions and verdicts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from evaluator import statistics
from evaluator.analysis.comparison import FRAMES
from tests.unit.test_cli import umd

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_python_page(tmp_path, monkeypatch, capsys):
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in blocks:
        if language == "sh":
            for line in code.strip().splitlines():
                program, *arguments = shlex.split(line)
                assert program == "umd"
                done = umd(*arguments)
                assert done.returncode == 0, done.stderr
        else:
            exec(compile(code, "docs/api.md", "exec"), names)  # noqa: S102
    output = capsys.readouterr().out
    assert "synthetic: True" in output
    assert (tmp_path / "comparison" / "modality.csv").is_file()
    assert (tmp_path / "for-others" / "scores.parquet").is_file()
    for name in FRAMES:
        assert f"`{name}`" in text


def test_the_statistics_page_names_every_function_and_verdict():
    text = (DOCS / "statistics.md").read_text(encoding="utf-8")
    for name in statistics.__all__:
        if name[0].islower():
            assert f"`{name}`" in text, name
    for verdict in ("different", "equivalent", "different within margin", "inconclusive"):
        assert f"**{verdict}**" in text
    begin, end = "<!-- bench-statistics -->", "<!-- /bench-statistics -->"
    assert text.count(begin) == text.count(end) == 1
    table = text.split(begin)[1].split(end)[0]
    assert len(table.splitlines()) > 30
