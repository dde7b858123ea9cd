"""docs/api.md is executed block by block, and prints what it says it prints."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import evaluator
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.comparison.schema import FRAMES
from evaluator.analysis.failures import find_failures
from evaluator.analysis.ranking import rank

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```)?", re.DOTALL)


@pytest.mark.slow
def test_every_block_prints_what_the_page_says(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") >= 9
    assert sum(block["output"] is not None for block in blocks) == text.count("```text")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(block["code"], "docs/api.md", "exec"), names)  # noqa: S102
        assert output.getvalue() == (block["output"] or ""), block["code"]


def test_the_page_names_every_function_and_frame():
    text = PAGE.read_text(encoding="utf-8")
    for name in (*evaluator.__all__, *FRAMES):
        assert f"`{name}`" in text, name


def test_every_function_documents_its_arguments_results_and_errors():
    for name in evaluator.__all__:
        function = getattr(evaluator, name)
        text = inspect.getdoc(function)
        for heading in ("Args:", "Returns:", "Raises:"):
            assert heading in text, (name, heading)
        for argument in inspect.signature(function).parameters:
            assert f"{argument}: " in text, (name, argument)
        assert name in evaluator.__doc__


@pytest.mark.parametrize("function", [compare, rank, find_failures])
def test_arguments_and_defaults_are_those_of_the_implementation(function):
    implemented = inspect.signature(function).parameters
    public = inspect.signature(getattr(evaluator, function.__name__)).parameters
    for name, argument in public.items():
        if argument.kind is not inspect.Parameter.VAR_KEYWORD:
            assert argument.default == implemented[name].default, name


def test_the_import_is_cheap():
    code = "import evaluator, sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"pandas", "numba", "numpy", "docker"} & set(result.stdout.split())
