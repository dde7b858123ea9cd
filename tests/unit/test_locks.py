from __future__ import annotations

import errno
import fcntl
import time
from threading import Thread

import pytest

from evaluator.containers.gpus import lease
from evaluator.zoo.build_lock import build_lock


def test_the_second_waits_and_reports_it(tmp_path, messages):
    lock, done = tmp_path / "locks" / "x.lock", []

    def second():
        with build_lock(lock, "builds x"):
            done.append("second")

    with build_lock(lock, "builds x"):
        waiter = Thread(target=second)
        waiter.start()
        deadline = time.monotonic() + 10
        while not messages and time.monotonic() < deadline:
            time.sleep(0.01)
        done.append("first")
    waiter.join(10)
    assert done == ["first", "second"]
    assert messages == ["waiting for another umd, which builds x"]


@pytest.fixture
def no_locks(monkeypatch, tmp_path):
    """A file system as some clusters have it."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))


def test_where_there_are_no_locks_nobody_waits(no_locks, tmp_path, messages):
    with build_lock(tmp_path / "x.lock", "builds x"):
        pass
    assert messages == []


def test_where_there_are_no_locks_a_gpu_is_not_waited_for_for_ever(no_locks):
    with pytest.raises(OSError, match="No locks"), lease("GPU-1", "me"):
        pass
