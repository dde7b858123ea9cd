"""umd status, watch and stop: what works on runs, here and elsewhere, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from evaluator.cli.main import umd
from evaluator.errors import HostError, StoppedError
from evaluator.evaluation.cluster import jobs, slurm
from evaluator.evaluation.cluster.slurm import TaskState
from evaluator.evaluation.cluster.slurm_records import (
    SlurmArray,
    SlurmRecord,
    SlurmSubmission,
    SlurmTask,
)
from evaluator.evaluation.cluster.slurm_status import (
    cancel_all,
    cancel_waiting,
    count_states,
    tasks_of,
)
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.runs import processes
from evaluator.runs.names import all_runs
from evaluator.runs.processes import RunProcess, stop_request, this_place
from evaluator.runs.run_status import run_status
from evaluator.runs.stopping import wait_until_stopped, working_processes
from tests.tiny import PAINTER, make_dataset

#: ``evaluator.cli`` has the command of this name
watch = import_module("evaluator.cli.watch")
SLOW_PAINTER = PAINTER.replace(
    "    def predict(self, request):",
    "    def predict(self, request):\n"
    "        import os, time; time.sleep(0 if os.path.exists('FAST') else 1)",
)


def call(*words: object, code: int = 0) -> str:
    answer = CliRunner().invoke(umd, [str(word) for word in words])
    assert answer.exit_code == code, (answer.output, answer.exception)
    return answer.output


@pytest.fixture
def config(project, tmp_path, monkeypatch) -> RunConfig:
    project({"slow": SLOW_PAINTER.replace("FAST", str(tmp_path / "fast"))})
    monkeypatch.setattr(processes, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(processes, "LOOK_SECONDS", 0.05)
    data = make_dataset(tmp_path / "data", [f"s{number}" for number in range(12)], ("CT",))
    return RunConfig(
        model="slow", dataset=str(data), protocol="box", engine="local", recheck=0, name="mine"
    )


def _answers(run) -> bool:
    """Whether a process works on a run and has ended a scan."""
    living = (entry for entry in run_status(run).processes if entry.state == "running")
    return any(entry.record.answered for entry in living)


def while_it_runs(config: RunConfig, actions) -> None:
    """Execute a run in the main thread, and actions in another one once a scan has ended."""
    outcomes: list[BaseException] = []

    def act() -> None:
        try:
            deadline = time.monotonic() + 60
            while not any(_answers(run) for run in all_runs()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            actions()
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        execute(resolve(config))
    finally:
        thread.join()
        assert not outcomes, outcomes


def test_a_run_is_stopped_after_its_scans_or_at_once_and_resumed(config, tmp_path):
    def stop_softly() -> None:
        text = call("status", "mine", "--wide")
        assert "running" in text
        assert os.uname().nodename in text
        assert "all have ended" in call("stop", "mine", "--wait", 60)

    with pytest.raises(StoppedError, match=r"\d+ scans of run mine are not done"):
        while_it_runs(config, stop_softly)
    (run,) = all_runs()
    before = run_status(run)
    assert 0 < before.done < before.scans == 12
    assert before.state == "stopped"
    assert not list((run.path / "processes").glob("*.stop"))
    with pytest.raises(KeyboardInterrupt):
        while_it_runs(config, lambda: call("stop", "--all", "--now", "--wait", 60))
    assert run_status(run).processes[-1].record.reason == "stopped by umd stop"
    assert "nothing works on these runs" in call("stop", "mine")
    (tmp_path / "fast").touch()
    execute(resolve(config))
    assert run_status(run).state == "complete"
    assert f"every run is complete in {run.path.parent}" in call("status")
    assert "complete" in call("watch", "mine")


def test_a_folder_without_runs_is_not_called_complete(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "none"))
    assert f"there is no run in {tmp_path / 'none'}" in call("status")


@pytest.fixture
def begun_run(project, tmp_path):
    """A run that a process of another machine began: one of two scans is done."""
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT",))
    config = RunConfig(
        model="painter", dataset=str(data), protocol="box", engine="local", recheck=0, name="mine",
        limit=1,
    )  # fmt: skip
    run = execute(resolve(config))
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"scans": 1', '"scans": 2'))
    return run


def process_of(run, **facts) -> RunProcess:
    process = RunProcess(run.path, "1/2", 2)
    process.record = replace(process.record, **{"host": "node7", "place": ""} | facts)
    process.write()
    return process


def test_processes_elsewhere_are_running_silent_or_gone(begun_run):
    process = process_of(begun_run, slurm="12_3")
    process.scan_ended()
    process.write(seconds=60.0)
    status = run_status(begun_run)
    assert (status.state, status.done, status.scans) == ("running", 1, 2)
    assert (status.per_hour, status.seconds_left) == (60.0, 60.0)
    lines = [json.loads(line) for line in call("status", "--json").splitlines()]
    assert lines[0]["processes"][-1]["record"]["slurm"] == "12_3"
    # a live process does not end within the time: told, with exit code 1
    assert "has not ended" in call("stop", "mine", "--now", "--wait", 0, code=1)
    assert stop_request(begun_run.path, process.record.id) == "now"
    file = begun_run.path / "processes" / f"{process.record.id}.json"
    os.utime(file, (time.time() - 300, time.time() - 300))
    assert run_status(begun_run).processes[-1].state == "silent"
    assert "silent: asked to stop" in call("stop", "mine", "--wait", 0, code=1)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    process_of(begun_run, pid=child.pid, place=this_place())
    assert run_status(begun_run).processes[-1].state == "gone"
    # damaged files cost nothing
    for number, body in enumerate(["", "{", "[]", '{"format": 99}']):
        (begun_run.path / "processes" / f"bad{number}.json").write_text(body)
    assert run_status(begun_run).done == 1
    assert "mine" in call("status")
    broken = begun_run.path.parent / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert "mine" in call("status")
    call("stop", "--all", "--wait", 0, code=1)


def test_a_process_with_another_clock_has_not_ended_until_it_is_seen_so(begun_run):
    process = process_of(begun_run)
    file = begun_run.path / "processes" / f"{process.record.id}.json"
    seconds = iter(range(10_000))

    def beat() -> None:
        process.write()
        os.utime(file, (0, 0))  # the clock of its machine is decades behind

    beat()
    working = working_processes([begun_run])
    assert [entry.state for _, entry in working] == ["silent"]
    left = wait_until_stopped(working, 500, beat, lambda: next(seconds))
    assert [entry.record.id for _, entry in left] == [process.record.id]
    assert wait_until_stopped(working, 500, lambda: None, lambda: next(seconds)) == []


def test_stop_wants_one_choice():
    assert "name one of" in call("stop", code=2)
    assert "name one of" in call("stop", "mine", "--all", code=2)
    assert "not both" in call("status", "mine", "--suite", "cpu", code=2)


def test_a_busy_controller_of_slurm_ends_no_view_but_the_first_answer_is_needed(monkeypatch):
    answers = [[], HostError("busy"), ["running"]]

    def tasks(_):
        answer = answers.pop(0)
        if isinstance(answer, HostError):
            raise answer
        return answer

    monkeypatch.setattr(watch, "SLURM_SECONDS", 0.0)
    monkeypatch.setattr(watch, "read_slurm_record", lambda _: None)
    monkeypatch.setattr(watch, "tasks_in_slurm", tasks)
    view = watch._View((), record())
    for expected in ([], [], ["running"]):
        view._ask_slurm()
        assert view._tasks == expected
    answers.append(HostError("down"))
    with pytest.raises(HostError):
        watch._View((), record())._ask_slurm()


def test_a_fault_of_this_machine_refuses_no_run_of_a_suite(monkeypatch):
    def fail(_):
        raise HostError("the disk is full")

    monkeypatch.setattr(jobs, "resolve_plan", fail)
    suite = SimpleNamespace(all_datasets=["d"], protocols=["box"], models=["m"])
    with pytest.raises(HostError, match="the disk is full"):
        jobs.suite_jobs(suite, RunConfig(model="", dataset=""))


def record() -> SlurmRecord:
    tasks = tuple(
        SlurmTask(dataset="d", protocol="box", run="r", shard=f"{part}/3") for part in (1, 2, 3)
    )
    array = SlurmArray(
        model="net", image="sha256:1", script="net.sh", tasks=tasks,
        submissions=(SlurmSubmission(job=12, tasks=(0, 1)), SlurmSubmission(job=15, tasks=(1,))),
    )  # fmt: skip
    return SlurmRecord(
        suite="mine", source="mine", site={}, arrays=(array,), gather=(SlurmSubmission(job=16),)
    )


def test_tasks_have_the_state_of_their_last_submission():
    states = {
        (12, 0): TaskState(job=12, task=0, state="COMPLETED"),
        (12, 1): TaskState(job=12, task=1, state="FAILED"),
        (15, 1): TaskState(job=15, task=1, state="RUNNING", node="n1"),
    }
    rows = tasks_of(record(), states)
    assert [(row.name, row.shard, row.job, row.state, row.attempts) for row in rows] == [
        ("net", "1/3", "12_0", "COMPLETED", 1), ("net", "2/3", "15_1", "RUNNING", 2),
        ("net", "3/3", "", "not submitted", 0), ("gather", "", "16", "unknown", 1),
    ]  # fmt: skip
    assert count_states(rows)["RUNNING"] == 1


def test_what_waits_is_cancelled_and_with_now_all(monkeypatch):
    calls = []
    monkeypatch.setattr(slurm, "_call", calls.append)
    cancel_waiting(record())
    assert calls == [["scancel", "--state=PENDING", "12", "15"], ["scancel", "16"]]
    calls.clear()
    cancel_all(record())
    assert calls == [["scancel", "12", "15", "16"]]
