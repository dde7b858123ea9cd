"""Processes share a run without locks: claims by links, heartbeats, and shards that overlap."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.errors import HostError
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.runs import processes
from evaluator.runs.claims import Claims, remove_claims
from evaluator.runs.processes import DEAD_SECONDS, Liveness, RunProcess, read_processes, working_on
from evaluator.runs.shards import Shard
from evaluator.runs.tables import read_scores
from tests.tiny import PAINTER, make_dataset


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(run: Path, clock: Clock, **facts) -> tuple[RunProcess, Claims]:
    """A process on another machine, and its claims."""
    process = RunProcess(run)
    process.record = replace(process.record, **{"host": "elsewhere", "place": ""} | facts)
    process.write()

    def pause() -> None:
        clock.now += 1.0

    return process, Claims(run, process.record.id, Liveness(run, clock), pause)


def test_one_of_two_has_a_case_while_it_lives(tmp_path, clock):
    first, mine = begun(tmp_path, clock)
    _, theirs = begun(tmp_path, clock)
    assert mine.claim("a") == mine.claim("a") == "mine"
    assert theirs.claim("a") == "unknown"
    first.write()  # a beat
    assert theirs.claim("a") == "alive"
    assert theirs.claim("b") == "mine"
    assert mine.wait_for("b") == "mine"  # nothing of "theirs" changed for a minute
    assert clock.now > DEAD_SECONDS
    with pytest.raises(HostError, match="taken over by another process"):
        theirs.require("b")
    mine.require("b")


@pytest.mark.parametrize("state", ["done", "failed", "stopped"])
def test_what_an_ended_process_had_is_free_at_once(tmp_path, clock, state):
    first, mine = begun(tmp_path, clock)
    assert mine.claim("a") == "mine"
    first.write(state=state)
    _, theirs = begun(tmp_path, clock)
    assert theirs.claim("a") == "mine"
    assert clock.now == 0
    # a third one sees the newest claim, not the old one
    _, third = begun(tmp_path, clock)
    assert third.claim("a") == "unknown"


def test_a_killed_process_of_this_machine_is_dead_at_once(tmp_path, clock):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    _, mine = begun(tmp_path, clock, pid=child.pid, place=processes.this_place())
    assert mine.claim("a") == "mine"
    _, theirs = begun(tmp_path, clock)
    assert theirs.claim("a") == "unknown"
    child.kill()
    child.wait()
    assert theirs.claim("a") == "mine"


def test_clocks_of_machines_are_not_compared(tmp_path, clock):
    first, mine = begun(tmp_path, clock)
    assert mine.claim("a") == "mine"
    file = tmp_path / "processes" / f"{first.record.id}.json"
    os.utime(file, (0, 0))  # the holder's clock is decades behind
    _, theirs = begun(tmp_path, clock)
    assert theirs.claim("a") == "unknown"
    first.write()
    os.utime(file, (4e9, 4e9))
    assert theirs.claim("a") == "alive"


def test_many_that_take_over_cannot_collide(tmp_path, clock):
    dead, claims = begun(tmp_path, clock)
    assert claims.claim("a") == "mine"
    dead.write(state="failed")
    rivals = [begun(tmp_path, clock)[1] for _ in range(8)]
    start, won = threading.Barrier(8), []

    def take(rival: Claims) -> None:
        start.wait()
        if rival.claim("a") == "mine":
            won.append(rival)

    threads = [threading.Thread(target=take, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_lost_answer_of_nfs_is_no_second_process(tmp_path, clock, monkeypatch):
    _, mine = begun(tmp_path, clock)
    link = os.link

    def lost(source, target):
        link(source, target)
        raise FileExistsError(errno.EEXIST, "the call was repeated", str(target))

    monkeypatch.setattr(os, "link", lost)
    assert mine.claim("a") == "mine"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_one_of_two_has_a_case(tmp_path, clock, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    first, mine = begun(tmp_path, clock)
    _, theirs = begun(tmp_path, clock)
    assert (mine.claim("a"), theirs.claim("a")) == ("mine", "unknown")
    first.write(state="failed")
    assert theirs.claim("a") == "mine"
    with pytest.raises(HostError, match="taken over"):
        mine.require("a")


def test_a_full_disk_is_told_at_a_claim(tmp_path, clock, monkeypatch):
    _, mine = begun(tmp_path, clock)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(HostError, match="free some space"):
        mine.claim("a")


def test_claims_may_be_made_while_another_process_removes_them(tmp_path, clock, monkeypatch):
    _, mine = begun(tmp_path, clock)
    assert mine.claim("a") == "mine"
    link, removed = os.link, []

    def link_after_removal(source, target):
        if not removed:
            removed.append(remove_claims(tmp_path))
        link(source, target)

    monkeypatch.setattr(os, "link", link_after_removal)
    assert mine.claim("b") == "mine"
    assert (tmp_path / "claims" / "b.0").read_text() == mine.process


def test_claims_that_another_process_removes_are_no_fault(tmp_path, clock, monkeypatch):
    _, mine = begun(tmp_path, clock)
    assert mine.claim("a") == "mine"
    unlink = Path.unlink

    def unlink_all(path, missing_ok=False):
        for other in path.parent.iterdir():
            unlink(other, missing_ok)
        path.parent.rmdir()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_all)
        remove_claims(tmp_path)
    remove_claims(tmp_path)
    assert not (tmp_path / "claims").exists()


def test_a_damaged_claim_is_free_after_a_minute(tmp_path, clock):
    _, mine = begun(tmp_path, clock)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "a.0").write_bytes(b"\xff\xfe\x00")
    assert mine.claim("a") == "unknown"
    assert mine.wait_for("a") == "mine"
    assert clock.now > DEAD_SECONDS


def test_the_file_says_how_a_process_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "BEAT_SECONDS", 0.01)
    with working_on(tmp_path, "1/2", 4) as process:
        process.scan_ended()
        deadline = time.monotonic() + 20
        while read_processes(tmp_path)[0].ended < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
    (record,) = read_processes(tmp_path)
    assert (record.state, record.ended, record.scans, record.shard) == ("done", 1, 4, "1/2")
    with pytest.raises(HostError), working_on(tmp_path):
        raise HostError("disk full")
    with pytest.raises(KeyboardInterrupt), working_on(tmp_path):
        raise KeyboardInterrupt
    assert [(one.state, one.reason) for one in read_processes(tmp_path)[1:]] == [
        ("failed", "HostError: disk full"), ("stopped", "stopped by a signal or Ctrl-C"),
    ]  # fmt: skip


@pytest.fixture
def config(project, tmp_path) -> RunConfig:
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    return RunConfig(model="painter", dataset=str(data), protocol="box", engine="local", recheck=0)


def test_other_shards_continue_where_a_killed_process_stopped(config, tmp_path, monkeypatch):
    """Half of two shards, a case that a dead process had, then thirds, without file locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    run = execute(resolve(replace(config, shard=Shard(1, 2))))
    first = {path: path.stat().st_mtime_ns for path in (run.path / "records").rglob("*.json")}
    assert len(first) == 4
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    _, claims = begun(run.path, Clock(), pid=dead.pid, place=processes.this_place())
    assert claims.claim("b.a") == "mine"
    for index in (1, 2, 3):
        execute(resolve(replace(config, shard=Shard(index, 3))))
    assert {path: path.stat().st_mtime_ns for path in first} == first  # nothing was done twice
    assert not (run.path / "claims").exists()
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "whole"))
    assert read_scores(execute(resolve(config))).equals(read_scores(run))


def test_a_case_of_a_living_process_is_left_to_it(config, messages):
    run = execute(resolve(replace(config, shard=Shard(1, 3))))
    holder, claims = begun(run.path, Clock())
    assert claims.claim("b.a") == "mine"
    living = threading.Thread(target=holder.beat, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "BEAT_SECONDS", 0.05)
        living.start()
        execute(resolve(config))
        holder.end()
        living.join()
    assert any("case b.a is left to another process" in line for line in messages)
    assert any("2 scans of run" in line and "other shards" in line for line in messages)
    holder.write(state="failed")
    execute(resolve(config))
    assert run.missing_scans() == 0


@pytest.mark.extended
def test_a_stopped_process_that_wakes_up_does_not_write(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom evaluator.runs import processes\n"
        "from evaluator.runs.claims import Claims\nprocesses.BEAT_SECONDS = 0.05\n"
        "with processes.working_on(Path(sys.argv[1])) as p:\n"
        "    c = Claims(Path(sys.argv[1]), p.record.id, processes.Liveness(Path(sys.argv[1])))\n"
        "    print(c.claim('a'), flush=True)\n    sys.stdin.read()\n    c.require('a')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "mine\n"
    child.send_signal(signal.SIGSTOP)
    _, rival = begun(tmp_path, Clock())
    rival.pause = lambda: setattr(rival.liveness.clock, "now", rival.liveness.clock.now + 5)
    assert rival.wait_for("a") == "mine"
    child.send_signal(signal.SIGCONT)
    _, error = child.communicate("", timeout=30)
    assert "was taken over by another process" in error
