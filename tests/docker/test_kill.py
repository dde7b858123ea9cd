"""A killed evaluator loses nothing and repeats nothing, and leaves no container behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.runs.store import RunStore
from tests.tiny import PAINTER, make_dataset

SLOW = "import time\n" + PAINTER.replace(
    "        def paint(", "        time.sleep(0.25)\n        def paint("
)


def _umd(*arguments, runs, **popen):
    environment = os.environ | {"UMD_RUNS": str(runs)}
    return subprocess.Popen(
        [Path(sys.executable).with_name("umd"), *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen,
    )  # fmt: skip


@pytest.mark.docker
def test_sigkill_in_the_middle_of_twenty_cases(project, tmp_path, docker_engine, monkeypatch):
    project({"slow": SLOW})
    # other tests are at work in the usual one
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    data = make_dataset(tmp_path / "data", [f"s{n:02d}" for n in range(20)])
    command = ["run", "-m", "slow", "-d", str(data), "-p", "point-1"]
    first = _umd(*command, runs=tmp_path / "killed", start_new_session=True)
    done = 0
    for line in first.stderr:
        done += line.rstrip().endswith(": done")
        if done == 7:
            break
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    first.stderr.close()
    (folder,) = (tmp_path / "killed").iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("records/*/*.json")}
    assert 7 <= len(before) < 40

    second = _umd(*command, runs=tmp_path / "killed")
    _, told = second.communicate(timeout=120)
    assert second.returncode == 0, told
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(re.findall(": done before$", told, re.MULTILINE)) == len(before)
    assert len(re.findall(": done$", told, re.MULTILINE)) == 40 - len(before)

    undisturbed = _umd(*command, runs=tmp_path / "whole")
    _, told = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, told
    (whole,) = (tmp_path / "whole").iterdir()
    assert whole.name == folder.name
    assert (whole / "scores.csv").read_bytes() == (folder / "scores.csv").read_bytes()
    assert len(list(folder.glob("records/*/*.json"))) == 40
    assert docker_engine._labelled(f"umd.run={folder.name}") == []
    assert (paths.cache() / "work").is_dir()
    assert not list((paths.cache() / "work").glob("*/output"))


@pytest.mark.docker
def test_ctrl_c_keeps_what_is_done_and_says_so(project, tmp_path, docker_engine):
    project({"slow": SLOW})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    # tests that were started in the background ignore Ctrl-C, and what they start inherits that
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = _umd("run", "-m", "slow", "-d", str(data), "-p", "point-1", runs=tmp_path / "r")
    signal.signal(signal.SIGINT, heard)
    for line in process.stderr:
        if line.rstrip().endswith(": done"):
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in told
    assert "Traceback" not in told
    (folder,) = (tmp_path / "r").iterdir()
    assert docker_engine._labelled(f"umd.run={folder.name}") == []


@pytest.mark.docker
def test_two_at_once_and_other_parts_under_one_name(project, tmp_path, docker_engine):
    project({"slow": SLOW, "painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    one = _umd("run", "-m", "slow", "-d", str(data), "--name", "x", runs=tmp_path / "r")
    end = time.monotonic() + 60
    while time.monotonic() < end and (
        not (tmp_path / "r/x/lock").exists() or not (tmp_path / "r/x/lock").read_text()
    ):
        time.sleep(0.05)
    two = _umd("run", "-m", "slow", "-d", str(data), "--name", "x", runs=tmp_path / "r")
    _, told = two.communicate(timeout=60)
    assert two.returncode == 9
    assert "is being written by umd, process" in told
    assert one.communicate(timeout=60)[1]
    assert one.returncode == 0
    other = _umd("run", "-m", "painter", "-d", str(data), "--name", "x", runs=tmp_path / "r")
    _, told = other.communicate(timeout=60)
    assert other.returncode == 9
    assert "model was slow, is painter" in told


@pytest.mark.docker
def test_an_orphan_is_found_and_removed(project, tmp_path, docker_engine):
    project({"slow": SLOW})
    from evaluator.zoo import ensure_image, find_model

    image = ensure_image(find_model("slow"))
    labels = {"umd.run": "orphan", "umd.pid": "999999999", "umd.host": os.uname().nodename}
    container = docker_engine.client.containers.run(
        image.reference, ["serve"], labels=labels, detach=True, stdin_open=True, network_mode="none"
    )
    try:
        assert container.name in docker_engine.orphans()
        process = _umd("doctor", "--sweep", "--json", runs=tmp_path / "r")
        told, _ = process.communicate(timeout=60)
        findings = [json.loads(line) for line in told.splitlines()]
        assert any(f["what"] == "orphans" and container.name in f["detail"] for f in findings)
        assert container.name not in docker_engine.orphans()
    finally:
        docker_engine._remove_all(docker_engine._labelled("umd.run=orphan"))


def test_scores_again_are_the_same(project, tmp_path, engine_name):
    from evaluator.scoring.rescore import score_run
    from tests.conftest import order

    project({"painter": PAINTER})
    run = order("painter", make_dataset(tmp_path / "data", ["a", "b"]), engine=engine_name)
    before = (run.path / "scores.csv").read_bytes()
    for path in [
        *run.path.glob("scores/*/*.json"),
        run.path / "scores.csv",
        run.path / "scores.parquet",
    ]:
        path.unlink()
    score_run(RunStore(run.path))
    assert (run.path / "scores.csv").read_bytes() == before
