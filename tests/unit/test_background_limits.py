"""Floors and ceilings are computed by another process while the model answers; same values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evaluator.evaluation import run as run_module
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.limits import background, complete_limits
from evaluator.limits.run_limits import RunLimits
from evaluator.runs.tables import read_scores
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def config(project, tmp_path) -> RunConfig:
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"])
    return RunConfig(model="painter", dataset=str(data), protocol="box", engine="local", recheck=0)


def limits_of(run) -> dict[str, object]:
    return {
        str(path.relative_to(run.path)): json.loads(path.read_text())
        for path in sorted((run.path / "limits").rglob("*.json"))
    }


def watch_the_end(monkeypatch, found: list[int]) -> None:
    """Note how many limits are there when the run's own computation begins."""

    def complete(run) -> str:
        found.append(len(limits_of(run)))
        return complete_limits(run)

    monkeypatch.setattr(run_module, "complete_limits", complete)


def test_limits_are_there_when_the_last_answer_is(config, tmp_path, monkeypatch):
    found: list[int] = []
    watch_the_end(monkeypatch, found)
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(background, "AFTER_SECONDS", 0.0)
    run = execute(resolve(config))
    assert found == [4]
    # a worker that cannot start costs nothing
    monkeypatch.setattr(background, "WORKER", "evaluator.no_such_module")
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "another cache"))
    alone = execute(resolve(replace(config, name="alone")))
    assert found == [4, 0]
    assert limits_of(alone) == limits_of(run)
    scores = [read_scores(each).drop(columns="run") for each in (run, alone)]
    assert scores[0].equals(scores[1])


def test_limits_of_some_cases_are_completed(config, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    run = execute(resolve(config))
    expected = limits_of(run)
    for path in (run.path / "limits").rglob("*.json"):
        path.unlink()
    limits = RunLimits(run)
    assert limits.complete(["b.a", "no such case", "../a.a"]) == ""
    assert sorted(limits_of(run)) == ["limits/b.a/CT.json", "limits/b.a/PT.json"]
    assert complete_limits(run) == ""
    assert limits_of(run) == expected
