from __future__ import annotations

import errno
import fcntl
from threading import Event, Thread

import pytest

from evaluator.containers.gpus import lease
from evaluator.zoo.build_lock import build_lock


def test_the_second_waits_and_is_told(tmp_path):
    lock, told, waiting, done = tmp_path / "turns" / "x.lock", [], Event(), []

    def say(line):
        told.append(line)
        waiting.set()

    def second():
        with build_lock(lock, say, "builds x"):
            done.append("second")

    with build_lock(lock, say, "builds x"):
        other = Thread(target=second)
        other.start()
        assert waiting.wait(10)
        done.append("first")
    other.join(10)
    assert (done, told) == (["first", "second"], ["waiting for another umd, which builds x"])


@pytest.fixture
def no_locks(monkeypatch, tmp_path):
    """A file system as some clusters have it."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))


def test_where_there_are_no_locks_nobody_waits(no_locks, tmp_path):
    told = []
    with build_lock(tmp_path / "x.lock", told.append, "builds x"):
        pass
    assert told == []


def test_where_there_are_no_locks_a_gpu_is_not_waited_for_for_ever(no_locks):
    with pytest.raises(OSError, match="No locks"), lease("GPU-1", "me"):
        pass
