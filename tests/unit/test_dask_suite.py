"""A suite on real processes of dask: a killed worker, a killed scheduler, equal tables."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluator import paths
from evaluator.evaluation.cluster.shard_orders import WORKER_CLOSED, ShardAnswer
from evaluator.evaluation.cluster.shard_queue import (
    PAUSE,
    ShardQueue,
    ShardTask,
    assignments,
    free_slots,
    shard_tasks,
)
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.suites import run_suite, suite_runs
from evaluator.manifests.suites import load_suite
from evaluator.runs.names import open_run
from evaluator.runs.processes import read_processes
from evaluator.runs.shards import Shard
from tests.tiny import PAINTER, ROOT, make_dataset, make_project
from tests.unit.test_slurm import require_equal

SUITE = """
name = "mine"
title = "A suite"
models = ["painter", "missing"]
datasets = ["data/tiny.toml"]
protocols = ["box"]
"""
BIN = Path(sys.executable).parent
PAGE = ROOT / "docs" / "several-machines.md"
#: the first request of the first three sessions is answered; all others wait for a file to vanish
HOLD = """
        import time
        from pathlib import Path
        hold, sessions = Path({folder!r}, "hold"), Path({folder!r}, "sessions")
        if not hasattr(self, "free"):
            with sessions.open("a") as file:
                file.write("x")
            self.free = sessions.stat().st_size <= 3
        while hold.exists() and not self.free:
            time.sleep(0.05)
        self.free = False
"""


@pytest.fixture
def environment(tmp_path, monkeypatch) -> dict[str, str]:
    head = "    def predict(self, request):"
    adapter = PAINTER.replace(head, head + HOLD.format(folder=str(tmp_path)))
    project = make_project(tmp_path / "project", {"painter": adapter}, gpu="none")
    make_dataset(tmp_path / "data", list("abcdef"), ("CT",))
    (tmp_path / "mine.toml").write_text(SUITE)
    (tmp_path / "hold").touch()
    variables = {
        "UMD_PROJECT": str(project),
        "UMD_CACHE": str(paths.cache()),
        "UMD_RUNS": str(tmp_path / "shared-runs"),
        "PYTHONPATH": str(ROOT),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture
def start(tmp_path, environment):
    """Start programs of this environment; they are killed at the end."""
    begun: list[subprocess.Popen] = []

    def begin(line: str) -> subprocess.Popen:
        words = shlex.split(line)
        with (tmp_path / f"{words[0]}.log").open("ab") as output:
            process = subprocess.Popen(
                [BIN / words[0], *words[1:]], cwd=tmp_path, env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
    for process in begun:
        process.wait()


def test_a_suite_survives_a_killed_worker_and_a_killed_scheduler(start, tmp_path, monkeypatch):
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ") for line in "".join(blocks).splitlines()]
    scheduler_line, worker_line = (line for line in lines if line.startswith("dask "))
    (suite_line,) = (line for line in lines if line.startswith("umd suite run"))
    scheduler_line += " --port 0 --no-dashboard"
    worker_line = worker_line.replace("CPU=1", "CPU=2") + " --no-dashboard --no-nanny"
    shared = tmp_path / "shared-runs"

    def done() -> set[tuple[Path, int]]:
        return {(path, path.stat().st_mtime_ns) for path in shared.glob("*/records/*/*.json")}

    def running() -> int:
        runs = [path.parent for path in shared.glob("*/run.json")]
        records = [record for run in runs for record in read_processes(run)]
        return sum(record.state == "running" for record in records)

    def wait_until(condition, what):
        deadline = time.monotonic() + 120
        while not condition():
            printed = "".join(path.read_text() for path in tmp_path.glob("*.log"))
            assert time.monotonic() < deadline, f"{what}: {printed}"
            time.sleep(0.1)

    scheduler = start(scheduler_line)
    workers = [start(worker_line) for _ in range(3)]
    suite = start(suite_line)
    wait_until(lambda: len(done()) == 3, "each worker has answered its first scan")
    before = done()
    workers[0].kill()
    # its shard ends, and another worker begins it
    wait_until(lambda: "interrupted" in _logs(shared), "the killed worker's shard goes on")
    wait_until(lambda: running() == 3, "no worker has taken over the shard")
    scheduler.kill()
    wait_until(lambda: running() == 0, "shards go on without a scheduler")
    assert done() == before
    (tmp_path / "hold").unlink()
    (tmp_path / "scheduler.json").unlink()
    start(scheduler_line)
    start(worker_line)
    assert suite.wait(240) == 1
    printed = (tmp_path / "umd.log").read_text()
    assert "does not answer" in printed
    assert "could not be run: there is no model named 'missing'" in printed
    assert before < done()
    assert len(done()) == 6
    manifest = load_suite(str(tmp_path / "mine.toml"))
    (run,) = (open_run(entry.run) for entry in suite_runs(manifest) if entry.run)
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "alone"))
    config = RunConfig(model="", dataset="", engine="local")
    monkeypatch.chdir(tmp_path)
    alone = run_suite(manifest, config, progress=lambda _: lambda *_: None)
    require_equal(run, open_run(alone[0].run))


def _logs(shared: Path) -> str:
    return "".join(path.read_text() for path in shared.glob("suites/mine.shards/logs/*.log"))


def job(name: str, gpu: str = "none", subjects: int = 4):
    return SimpleNamespace(
        run=name, card=SimpleNamespace(gpu=gpu),
        shards=lambda count: [Shard(i, count) for i in range(1, min(count, subjects) + 1)],
    )  # fmt: skip


def answer(status: int) -> ShardAnswer:
    return ShardAnswer(status=status, host="n1", reason="why")


def test_the_first_shards_of_all_runs_come_first():
    order = [str(task) for task in shard_tasks([job("a"), job("b", subjects=1)], 2)]
    assert order == ["a, shard 1/2", "b, shard 1/2", "a, shard 2/2"]


def test_slots_are_given_to_workers_in_turn_and_by_their_kind():
    tasks = list(shard_tasks([job("net", "required"), job("cpu")], 3))
    queue = ShardQueue(lambda _: False, list(tasks))
    offered = {"w1": {"GPU": 2, "CPU": 1}, "w2": {"CPU": 1, "memory": 9}, "w3": {}}
    taken = [("w1", ShardTask(job=job("x", "optional"), shard=Shard(1, 1)))]
    given = assignments(queue, free_slots(offered, taken), 0.0)
    assert [(worker, task.job.run) for worker, task in given] == [
        ("w1", "net"), ("w2", "cpu"), ("w1", "cpu"),
    ]  # fmt: skip
    assert len(queue.waiting) == 3


def test_a_shard_that_fails_goes_to_another_worker_and_is_given_up_at_last():
    (task,) = shard_tasks([job("a")], 1)
    queue = ShardQueue(lambda _: False, [task])
    slots = {"CPU": 1}
    assert queue.next_for("w1", slots, 0.0) is task
    assert "status 8" in queue.answered(task, "w1", answer(8), 0.0)
    assert queue.next_for("w2", slots, PAUSE / 2) is None
    assert queue.next_for("w1", slots, PAUSE) is None
    queue.forgive(["w1", "w2"])
    assert queue.next_for("w1", slots, PAUSE) is None
    queue.forgive(["w1"])  # there is no other worker any more
    assert queue.next_for("w1", slots, PAUSE) is task
    # a worker or scheduler that is lost does not count
    for _ in range(5):
        queue.answered(task, "w1", answer(WORKER_CLOSED), PAUSE)
        assert queue.next_for("w1", slots, PAUSE) is task
    assert "other processes have cases" in queue.answered(task, "w1", answer(0), PAUSE)
    assert queue.next_for("w1", slots, 2 * PAUSE) is task
    queue.answered(task, "w1", answer(3), 2 * PAUSE)
    assert "status 3" in queue.given_up[task]
    assert not queue.waiting


def test_the_run_folder_tells_what_is_done_and_not_the_answer():
    (task,) = shard_tasks([job("a")], 1)
    queue = ShardQueue(lambda _: True)
    assert queue.answered(task, "w1", answer(8), 0.0) == ""
    assert not queue.waiting
    assert not queue.given_up
