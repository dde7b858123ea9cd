"""What a suite needs is said line by line, with the command that brings it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from evaluator import paths
from evaluator.cli.suite import suite
from evaluator.evaluation import suite_plan
from evaluator.evaluation.suite_plan import plan_suite
from evaluator.manifests.suites import Suite, load_suite
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setattr(suite_plan, "is_built", lambda _: False)
    monkeypatch.setattr(suite_plan, "find_gpus", lambda: ())


def test_the_papers_suite_says_what_is_missing(no_engine, monkeypatch, tmp_path):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UMD_DATA", str(tmp_path))
    (tmp_path / "umd").mkdir()
    lines = [line for line in plan_suite(load_suite("umd-paper")) if line.state == "missing"]
    commands = {(line.of, line.command.split(" --into")[0]) for line in lines}
    (data,) = [line for line in lines if line.of == "umd"]
    assert "had not been released" in data.detail
    assert "umd data import FOLDER --layout umd" in data.detail
    for name in ("sam-med3d", "segvol", "nninteractive", "vista3d", "sat-pro"):
        assert (name, f"umd models fetch {name}") in commands
        assert (name, f"umd models build {name}") in commands
        assert (name, f"umd models golden {name} --record") in commands
    assert ("nnunet", "umd run -m nnunet --weights DIR") in commands
    fetch = next(
        line.command for line in lines if line.command.startswith("umd models fetch nninteractive")
    )
    assert fetch.endswith("--accept-licence CC-BY-NC-SA-4.0")


def test_what_is_there_is_ok(project, tmp_path, monkeypatch):
    project({"painter": PAINTER})
    monkeypatch.setattr(suite_plan, "is_built", lambda _: True)
    manifest = make_dataset(tmp_path / "data", ["a"])
    mine = Suite(
        name="mine", title="x", models=("painter", "unknown"), datasets=(str(manifest),),
        protocols=("box",),
    )  # fmt: skip
    lines = [(line.state, line.of) for line in plan_suite(mine)]
    assert lines == [("ok", str(manifest)), ("ok", "painter"), ("missing", "unknown")]
    for image in (tmp_path / "data").glob("*image*"):
        image.unlink()
    first = next(iter(plan_suite(mine)))
    assert first.state == "missing"


def test_the_command_prints_lines_or_json(no_engine, monkeypatch, tmp_path):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(suite, ["plan", "umd-paper"])
    assert done.exit_code == 1
    assert "umd models fetch vista3d --into" in done.output
    done = CliRunner().invoke(suite, ["plan", "umd-paper", "--json"])
    bodies = [json.loads(line) for line in done.output.splitlines()]
    assert {"umd", "vista3d", "nnunet"} <= {body["of"] for body in bodies}
    assert paths.project().is_dir()
