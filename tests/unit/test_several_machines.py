"""The page about several machines is followed literally; the tables equal one process's."""

from __future__ import annotations

import os
import re
import shlex

from click.testing import CliRunner

from evaluator.cli.main import umd
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.files import write_bytes
from evaluator.runs.names import open_run
from evaluator.runs.tables import read_scores
from tests.tiny import PAINTER, ROOT, make_dataset

PAGE = ROOT / "docs" / "several-machines.md"


def test_the_pages_lines_give_the_tables_of_one_process(project, tmp_path, monkeypatch):
    project({"mine": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"], ("CT", "PT"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ") for line in "".join(blocks).splitlines()]
    lines = [line for line in lines if "scheduler" not in line]  # see test_dask_suite.py
    assert len(lines) == 8
    outputs, made = {}, {}
    for line in lines:
        # the machine of 2/2 failed before it began: three shards take over
        if "2/2" in line:
            continue
        answer = CliRunner().invoke(umd, shlex.split(line)[1:])
        assert answer.exit_code == 0, (line, answer.output, answer.exception)
        outputs[line] = answer.output
        run = open_run("shared")
        for path in (run.path / "records").rglob("*.json"):
            time = path.stat().st_mtime_ns
            assert made.setdefault(path, time) == time  # nothing is done twice
    assert "not running" in outputs["umd status shared"]
    assert len(made) == 6
    assert run.missing_scans() == 0
    assert not (run.path / "claims").exists()
    config = RunConfig(
        model="mine", dataset=str(data), protocol="box", engine="local", name="alone", recheck=0
    )
    expected = read_scores(execute(resolve(config))).drop(columns="run")
    assert read_scores(run).drop(columns="run").equals(expected)


def test_two_writers_of_one_file_do_not_meet(tmp_path, monkeypatch):
    """The second writes while the first, with the same process number, has not replaced yet."""
    path = tmp_path / "status.json"
    contents = [b"second", b"third"]
    sync = os.fsync

    def write_between(file):
        sync(file)
        if contents:
            write_bytes(path, contents.pop())

    monkeypatch.setattr(os, "fsync", write_between)
    write_bytes(path, b"first")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["status.json"]
