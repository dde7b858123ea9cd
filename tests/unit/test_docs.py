"""The pages in docs/ describe what exists. Another test executes docs/api.md (test_api_page.py)."""

from __future__ import annotations

from pathlib import Path

from evaluator import statistics

DOCS = Path(__file__).parents[2] / "docs"


def test_the_statistics_page_names_every_function_and_verdict():
    text = (DOCS / "statistics.md").read_text(encoding="utf-8")
    for name in statistics.__all__:
        if name[0].islower():
            assert f"`{name}`" in text, name
    for verdict in ("different", "equivalent", "different within margin", "cannot say"):
        assert f"**{verdict}**" in text
    begin, end = "<!-- bench-statistics -->", "<!-- /bench-statistics -->"
    assert text.count(begin) == text.count(end) == 1
    table = text.split(begin)[1].split(end)[0]
    assert len(table.splitlines()) > 30
