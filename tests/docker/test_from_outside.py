"""Containers that somebody else ends, and folders that somebody removes, are the host's fault."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time

import docker.errors
import pytest

from evaluator.errors import HostError
from evaluator.runs.store import RunStore
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

SLOW = "import time\n" + PAINTER.replace(
    "        def paint(", "        time.sleep(1.5)\n        def paint("
)


class Disturber(threading.Thread):
    """Does something to the model's container once it runs, ``times`` times."""

    def __init__(self, engine, run_id, act, times=1):
        super().__init__(daemon=True)
        self.engine, self.run_id, self.act, self.times = engine, run_id, act, times
        self.done = 0

    def run(self):
        seen = set()
        end = time.monotonic() + 120
        while self.done < self.times and time.monotonic() < end:
            for container in self.engine._labelled(f"umd.run={self.run_id}"):
                is_model = container.name.startswith("umd-slow")
                if is_model and container.id not in seen and container.status == "running":
                    seen.add(container.id)
                    time.sleep(1.0)
                    self.act(container)
                    self.done += 1
            time.sleep(0.05)


def statuses_of(run):
    """The statuses of all recorded predictions."""
    statuses = []
    for record in run.records():
        for entry in record.rounds:
            statuses += [target.status for target in entry.targets.values()]
    return statuses


def pause(container):
    """Pause a container; a busy kernel may need more than one attempt to freeze it."""
    for _ in range(4):
        with contextlib.suppress(docker.errors.APIError):
            container.pause()
            return
        time.sleep(0.2)
    container.pause()


ACTS = {
    "kill": lambda container: container.kill(),
    "stop": lambda container: container.stop(timeout=1),
    "restart": lambda container: container.restart(timeout=1),
    "remove": lambda container: container.remove(force=True),
    "pause": pause,
}


@pytest.fixture
def disturbed(project, tmp_path, docker_engine):
    project({"slow": SLOW})
    data = make_dataset(tmp_path / "data", ["a"])

    def run(act, times=1, **more):
        disturber = Disturber(docker_engine, "disturbed", act, times)
        disturber.start()
        finished = order("slow", data, name="disturbed", timeout=6.0, **more)
        assert disturber.done == times
        return finished

    return run


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "batch"),
    [
        ("kill", False),
        ("kill", True),
        ("pause", False),
        pytest.param("pause", True, marks=pytest.mark.extended),
        *(pytest.param("stop", batch, marks=pytest.mark.extended) for batch in (False, True)),
        *(pytest.param("restart", batch, marks=pytest.mark.extended) for batch in (False, True)),
        *(pytest.param("remove", batch, marks=pytest.mark.extended) for batch in (False, True)),
    ],
)
def test_a_container_that_is_disturbed_once_is_started_again(disturbed, docker_engine, act, batch):
    finished = disturbed(ACTS[act], batch=batch)
    entries = [entry for record in finished.records() for entry in record.rounds]
    statuses = {target.status for entry in entries for target in entry.targets.values()}
    assert statuses == {"ok"}
    attempts = [attempt.detail for entry in entries for attempt in entry.attempts]
    if not (act == "restart" and batch):  # a batch that is restarted answers again by itself
        assert attempts
        assert ["from outside" in detail for detail in attempts] == [True], attempts
    assert docker_engine._labelled("umd.run=disturbed") == []


@pytest.mark.docker
@pytest.mark.slow
def test_a_container_that_is_killed_each_time_stops_the_run(disturbed, tmp_path):
    with pytest.raises(HostError, match="killed from outside, 3 times"):
        disturbed(ACTS["kill"], times=3)
    assert not list((tmp_path / "runs" / "disturbed" / "records").glob("*/*"))
    again = disturbed(lambda container: None)
    assert {t.status for r in again.records() for t in r.rounds[0].targets.values()} == {"ok"}


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("name", ["output", pytest.param("input", marks=pytest.mark.extended)])
def test_a_folder_that_is_removed_is_no_failure_of_the_model(disturbed, tmp_path, name):
    def remove(container):
        (mount,) = [m for m in container.attrs["Mounts"] if m["Destination"] == f"/{name}"]
        shutil.rmtree(mount["Source"])

    if name == "output":
        assert statuses_of(disturbed(remove)) == ["ok", "ok"]
    else:  # the folder is made again for the next request, or the run stops
        with contextlib.suppress(HostError):
            disturbed(remove)
    store = RunStore(tmp_path / "runs" / "disturbed")
    assert set(statuses_of(store)) <= {"ok"}
