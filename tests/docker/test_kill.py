"""A killed run keeps its finished cases, repeats none and leaves no container."""

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
    "        def paint(", "        time.sleep(0.1)\n        def paint("
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
    # the default cache contains files of tests that run at the same time
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
    _, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(re.findall(": done before$", stderr, re.MULTILINE)) == len(before)
    assert len(re.findall(": done$", stderr, re.MULTILINE)) == 40 - len(before)

    undisturbed = _umd(*command, runs=tmp_path / "complete")
    _, stderr = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, stderr
    (complete,) = (tmp_path / "complete").iterdir()
    assert complete.name == folder.name
    assert (complete / "scores.csv").read_bytes() == (folder / "scores.csv").read_bytes()
    assert len(list(folder.glob("records/*/*.json"))) == 40
    assert docker_engine._labelled(f"umd.run={folder.name}") == []
    assert (paths.cache() / "work").is_dir()
    assert not list((paths.cache() / "work").glob("*/output"))


@pytest.mark.docker
def test_ctrl_c_keeps_finished_scans_and_prints_a_message(project, tmp_path, docker_engine):
    project({"slow": SLOW})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    # a background process ignores Ctrl-C, and its child processes inherit this
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = _umd("run", "-m", "slow", "-d", str(data), "-p", "point-1", runs=tmp_path / "r")
    signal.signal(signal.SIGINT, handler)
    for line in process.stderr:
        if line.rstrip().endswith(": done"):
            break
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in stderr
    assert "Traceback" not in stderr
    (folder,) = (tmp_path / "r").iterdir()
    assert docker_engine._labelled(f"umd.run={folder.name}") == []


@pytest.mark.docker
def test_a_second_process_or_model_under_the_same_run_name_is_refused(
    project, tmp_path, docker_engine
):
    project({"slow": SLOW, "painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    first = _umd("run", "-m", "slow", "-d", str(data), "--name", "x", runs=tmp_path / "r")
    end = time.monotonic() + 60
    while time.monotonic() < end and (
        not (tmp_path / "r/x/lock").exists() or not (tmp_path / "r/x/lock").read_text()
    ):
        time.sleep(0.05)
    # the first process is halted, so that it cannot finish before the second one starts
    first.send_signal(signal.SIGSTOP)
    try:
        second = _umd("run", "-m", "slow", "-d", str(data), "--name", "x", runs=tmp_path / "r")
        _, stderr = second.communicate(timeout=60)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 9, stderr
    assert "is being written by umd, process" in stderr
    assert first.communicate(timeout=60)[1]
    assert first.returncode == 0
    third = _umd("run", "-m", "painter", "-d", str(data), "--name", "x", runs=tmp_path / "r")
    _, stderr = third.communicate(timeout=60)
    assert third.returncode == 9
    assert "model was slow, is painter" in stderr


@pytest.mark.docker
@pytest.mark.parametrize(
    "reused",
    [False, pytest.param(True, marks=pytest.mark.extended)],
    ids=["gone", "number used again"],
)
def test_an_orphaned_container_is_listed_and_removed(project, tmp_path, docker_engine, reused):
    project({"slow": SLOW})
    from evaluator.zoo import ensure_image, find_model

    image = ensure_image(find_model("slow"))
    labels = {"umd.run": "orphan", "umd.pid": "999999999", "umd.host": os.uname().nodename}
    if reused:
        labels |= {"umd.pid": str(os.getpid()), "umd.started": "1"}
    container = docker_engine.client.containers.run(
        image.reference, ["serve"], labels=labels, detach=True, stdin_open=True, network_mode="none"
    )
    try:
        assert container.name in docker_engine.orphans()
        process = _umd("doctor", "--sweep", "--json", runs=tmp_path / "r")
        stdout, _ = process.communicate(timeout=60)
        findings = [json.loads(line) for line in stdout.splitlines()]
        assert any(
            finding["what"] == "orphans" and container.name in finding["detail"]
            for finding in findings
        )
        assert container.name not in docker_engine.orphans()
    finally:
        docker_engine._remove_all(docker_engine._labelled("umd.run=orphan"))


def test_a_second_scoring_gives_the_same_table(project, tmp_path, engine_name):
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
