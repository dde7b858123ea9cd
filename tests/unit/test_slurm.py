"""A suite on a real Slurm of two nodes: arrays, a killed task, a drained node, equal tables."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.suites import run_suite, suite_runs
from evaluator.manifests.suites import load_suite
from evaluator.runs.names import open_run
from evaluator.runs.tables import read_predictions, read_scores
from tests.slurm_cluster import slurm_cluster
from tests.tiny import PAINTER, make_dataset, make_project

ROOT = Path(__file__).parents[2]
#: a request takes long enough to be killed in the middle
SLOW_PAINTER = PAINTER.replace(
    "    def predict(self, request):",
    "    def predict(self, request):\n        import time; time.sleep(0.4)",
)
SUITE = """
name = "mine"
title = "A suite"
models = ["painter", "slow", "missing"]
datasets = ["data/tiny.toml"]
protocols = ["box"]
"""
PAGE = ROOT / "docs" / "running-on-slurm.md"
BIN = Path(sys.executable).parent


def commands_of(page: Path) -> list[str]:
    """The commands that a page tells its reader to type."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for line in "".join(blocks).splitlines()]


def settings_of(page: Path) -> str:
    """The TOML file that a page shows."""
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    return block


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster() as running:
        yield running


@pytest.fixture
def environment(tmp_path, monkeypatch) -> dict[str, str]:
    """Folders of a project with two models, a suite and a site; variables for the cluster."""
    project = make_project(tmp_path / "project", {"painter": PAINTER, "slow": SLOW_PAINTER})
    make_dataset(tmp_path / "data", ["a", "b", "c", "d"])
    (tmp_path / "mine.toml").write_text(SUITE)
    (tmp_path / "site.toml").write_text(settings_of(PAGE))
    (tmp_path / "shared-runs").mkdir()
    variables = {
        "UMD_PROJECT": str(project),
        "UMD_CACHE": str(paths.cache()),
        "UMD_RUNS": str(tmp_path / "shared-runs"),
        "PYTHONPATH": str(ROOT),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def undisturbed(tmp_path, monkeypatch):
    """The same suite in one process, in another folder of runs."""
    with monkeypatch.context() as local:
        local.setenv("UMD_RUNS", str(tmp_path / "alone"))
        suite = load_suite(str(tmp_path / "mine.toml"))
        config = RunConfig(model="", dataset="", engine="local")
        results = run_suite(suite, config, progress=lambda _: lambda *_: None)
        return {result.model: open_run(result.run) for result in results if result.run}


def require_equal(run, expected):
    assert run.name == expected.name
    assert read_scores(run).equals(read_scores(expected))
    same = [name for name in read_predictions(run) if "seconds" not in name and name != "notes"]
    assert read_predictions(run)[same].equals(read_predictions(expected)[same])
    assert (run.path / "scores.csv").read_text() == (expected.path / "scores.csv").read_text()


def test_a_suite_survives_a_killed_task_and_a_drained_node(
    cluster, environment, tmp_path, monkeypatch
):
    suite_file = tmp_path / "mine.toml"
    dry_run, submit, status, resubmit = commands_of(PAGE)

    def umd(line, check=True):
        words = [BIN / "umd", *shlex.split(line)[1:]]
        return cluster.call(*words, env=environment, folder=tmp_path, check=check)

    assert "run -m painter --engine local --gpus none" in umd(dry_run).stdout
    assert not (tmp_path / "shared-runs" / "suites").exists()
    submitted = umd(submit)
    assert "there is no model named 'missing'" in submitted.stderr
    folder = tmp_path / "shared-runs" / "suites" / "mine.slurm"
    record = json.loads((folder / "submissions.json").read_text())
    slow = next(array for array in record["arrays"] if array["model"] == "slow")
    job = slow["submissions"][0]["job"]
    run = tmp_path / "shared-runs" / slow["tasks"][0]["run"]
    cluster.wait_for(lambda: any((run / "records").glob("*/*.json")), "the slow model has no scan")
    # one node is drained: what it runs ends, and nothing new is started on it
    cluster.call("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    # one task is killed like by the kernel when memory is short
    cluster.call("pkill", "-KILL", "-f", "run -m [s]low .* 2/2$")
    cluster.wait_until_idle()
    cluster.call("scontrol", "update", "NodeName=n2", "State=RESUME")
    states = {entry[0]: entry[2] for entry in cluster.queue()}
    assert states[f"{job}_1"] == "FAILED"
    told = umd(f"{status} --csv").stdout.splitlines()
    assert any(line.startswith(f"slow,2/2,{job}_1,FAILED,1,") for line in told), told
    assert any(line.startswith(f"{run.name},") for line in told), told
    umd(resubmit)
    cluster.wait_until_idle()
    again = json.loads((folder / "submissions.json").read_text())
    slow = next(array for array in again["arrays"] if array["model"] == "slow")
    assert [entry["tasks"] for entry in slow["submissions"]] == [[0, 1], [1]]
    expected = undisturbed(tmp_path, monkeypatch)
    runs = {result.model: result for result in suite_runs(load_suite(str(suite_file)))}
    assert "no model named" in runs["missing"].reason
    for model in ("painter", "slow"):
        require_equal(open_run(runs[model].run), expected[model])
