"""A suite on real processes of dask: a killed worker, a killed scheduler, equal tables."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluator import paths
from evaluator.errors import HostError, UserError
from evaluator.evaluation.cluster import jobs
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.suites import run_suite, suite_runs
from evaluator.manifests.suites import Suite, load_suite
from evaluator.runs.names import open_run
from evaluator.runs.processes import read_processes
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
#: the first request of the first two sessions is answered; all others wait for a file to vanish
HOLD = """
        import time
        from pathlib import Path
        hold, sessions = Path({folder!r}, "hold"), Path({folder!r}, "sessions")
        if not hasattr(self, "free"):
            with sessions.open("a") as file:
                file.write("x")
            self.free = sessions.stat().st_size <= 2
        while hold.exists() and not self.free:
            time.sleep(0.05)
        self.free = False
"""


@pytest.fixture
def environment(tmp_path, monkeypatch) -> dict[str, str]:
    head = "    def predict(self, request):"
    adapter = PAINTER.replace(head, head + HOLD.format(folder=str(tmp_path)))
    project = make_project(tmp_path / "project", {"painter": adapter}, gpu="none")
    make_dataset(tmp_path / "data", list("abcd"), ("CT",))
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
    # two shards: each further one costs ten seconds of processor time
    suite_line = suite_line.replace("--shards 3", "--shards 2")
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
    workers = [start(worker_line) for _ in range(2)]
    suite = start(suite_line)
    wait_until(lambda: len(done()) == 2, "each worker has answered its first scan")
    before = done()
    workers[0].kill()
    # its shard ends, and another worker begins it
    wait_until(lambda: "interrupted" in _logs(shared), "the killed worker's shard goes on")
    wait_until(lambda: running() == 2, "no worker has taken over the shard")
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
    assert len(done()) == 4
    manifest = load_suite(str(tmp_path / "mine.toml"))
    (run,) = (open_run(entry.run) for entry in suite_runs(manifest) if entry.run)
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "alone"))
    config = RunConfig(model="", dataset="", engine="local")
    monkeypatch.chdir(tmp_path)
    alone = run_suite(manifest, config, progress=lambda _: lambda *_: None)
    require_equal(run, open_run(alone[0].run))


def _logs(shared: Path) -> str:
    return "".join(path.read_text() for path in shared.glob("suites/mine.shards/logs/*.log"))


def test_a_scheduler_that_is_lost_after_hours_is_waited_for(monkeypatch):
    from evaluator.evaluation.cluster import dask_suite

    now, connections = [0.0], []

    def pass_time(seconds):
        now[0] += seconds

    @contextmanager
    def connected(_):
        connections.append(now[0])
        if dead:
            raise dask_suite.Lost("dead")
        yield None

    def all_shards(_):
        pass_time(7200)
        if len(connections) == 1:
            raise dask_suite.Lost("gone")
        dispatch.queue.waiting.clear()

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=pass_time)
    dispatch = SimpleNamespace(
        queue=SimpleNamespace(waiting=["a"]), all_shards=all_shards, take_back_all=lambda: None
    )
    monkeypatch.setattr(dask_suite, "time", clock)
    monkeypatch.setattr(dask_suite, "connected", connected)
    dead = False
    dask_suite._until_done(dispatch, "tcp://n1:1")
    assert connections == [0.0, 7200 + dask_suite.RETRY_SECONDS]
    dead, began = True, now[0]
    dispatch.queue.waiting.append("a")
    with pytest.raises(HostError, match=r"tcp://n1:1 does not answer \(dead\)"):
        dask_suite._until_done(dispatch, "tcp://n1:1")
    assert now[0] - began == dask_suite.FIRST_PATIENCE + dask_suite.RETRY_SECONDS


def test_what_names_no_scheduler_is_refused_and_a_file_may_come_later(tmp_path):
    from evaluator.evaluation.cluster.dask_connection import Lost, address_of

    assert address_of("tcp://10.0.0.1:8786") == "tcp://10.0.0.1:8786"
    for text in ("n1", "n1:port", "http://n1:8786", "scheduler.jsn"):
        with pytest.raises(UserError, match=f"--scheduler {text}: "):
            address_of(text)
    file = tmp_path / "scheduler.json"
    for content in (None, ""):
        if content is not None:
            file.write_text(content)
        with pytest.raises(Lost):
            address_of(str(file))
    file.write_text("{}")
    with pytest.raises(UserError, match="is no scheduler file"):
        address_of(str(file))
    file.write_text('{"address": "tcp://n1:8786"}')
    assert address_of(str(file)) == "tcp://n1:8786"


def test_only_datasets_with_files_get_the_folder_of_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_PROJECT", str(ROOT))
    make_dataset(tmp_path / "data", ["a"])
    facts = dict.fromkeys(("model", "run", "image", "card", "cases", "scans", "estimate"))
    monkeypatch.setattr(
        jobs, "_job",
        lambda config: jobs.SuiteJob(
            **facts, dataset=config.dataset, protocol="box", data_root=config.data_root
        ),
    )  # fmt: skip
    datasets = [str(tmp_path / "data" / "tiny.toml"), "phantom-toy", "missing"]
    suite = Suite(name="s", title="S", models=["m"], datasets=datasets, protocols=["box"])
    config = RunConfig(model="", dataset="", data_root=tmp_path)
    planned = jobs.suite_jobs(suite, config)
    assert [entry.root_arguments for entry in planned.jobs] == [["--data-root", str(tmp_path)], []]
    assert "no dataset named 'missing'" in planned.refused[0].reason


def test_a_sentence_says_what_to_install(monkeypatch):
    name = "evaluator.evaluation.cluster.dask_connection"
    monkeypatch.delitem(sys.modules, name, raising=False)
    for package in ("distributed", "distributed.client"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"pip install 'umd-evaluator\[dask\]'"):
        importlib.import_module(name)
