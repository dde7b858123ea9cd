"""docs/scorer-library.md is executed block by block, and prints what it says it prints."""

from __future__ import annotations

import contextlib
import io
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)


def test_every_block_prints_what_the_page_says():
    text = (ROOT / "docs" / "scorer-library.md").read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") == text.count("```text") == 2
    names: dict[str, object] = {}
    for block in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(block["code"], "docs/scorer-library.md", "exec"), names)  # noqa: S102
        assert output.getvalue() == block["output"], block["code"]


def test_the_group_of_the_page_is_declared_and_part_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    group = project["dependency-groups"]["metrics"]
    assert {re.split("[><=]", line)[0] for line in group} == {"numba", "numpy", "scipy"}
    declared = set(project["project"]["dependencies"])
    assert set(group) <= declared
