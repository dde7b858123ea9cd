"""A container's limits: the card's wishes within the machine, and each refusal in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.containers.engines.process_output import processes_beside, unlinked_bytes_of
from evaluator.containers.engines.spec import Capacity
from evaluator.containers.model_limits import choose_limits
from evaluator.containers.output_monitor import OutputMonitor
from evaluator.zoo.cards import parse_card

MACHINE = Capacity(memory=10 * 2**30, cores=8)


def card(**labels):
    named = {f"umd.{name}": value for name, value in labels.items()}
    return parse_card({"umd.contract": "1", "umd.name": "m", "umd.inputs": "CT"} | named)


def test_a_card_gets_what_it_asks_for_within_the_machine():
    limits, capped = choose_limits(card(memory="2GiB", shm="1.5GiB", timeout="20"), None, MACHINE)
    assert (limits.memory, limits.shm) == (2 * 2**30, int(1.5 * 2**30))
    assert (limits.timeout, limits.startup, limits.cpus) == (20.0, 120.0, 7.0)
    assert capped == ()


def test_absurd_wishes_are_capped_and_named():
    limits, capped = choose_limits(
        card(memory="100000GiB", shm="100000GiB", timeout="999999"), None, MACHINE
    )
    assert limits.memory == limits.shm == 9 * 2**30
    assert limits.timeout == 3600.0
    assert [sentence.split(" of ")[1].split(";")[0] for sentence in capped] == [
        "memory",
        "shared memory",
        "time for a request",
    ]
    assert "100000 GiB of memory; 9 GiB are given" in capped[0]


@pytest.mark.parametrize(("cores", "cpus"), [(1, 1.0), (2, 1.0), (64, 63.0)])
def test_one_core_is_left_to_everything_else(cores, cpus):
    limits, _ = choose_limits(card(), None, Capacity(memory=2**33, cores=cores))
    assert limits.cpus == cpus
    free = Capacity(memory=2**33, cores=cores, limits_cores=False)
    assert choose_limits(card(), None, free)[0].cpus is None


def test_the_user_may_give_more_time_than_a_card():
    limits, capped = choose_limits(card(), 7200.0, MACHINE)
    assert (limits.timeout, limits.startup, capped) == (7200.0, 600.0, ())
    assert choose_limits(card(), None, MACHINE)[0].startup == 300.0


UNLINKED = """
import os, sys, time
file = open(sys.argv[1], "wb")
os.unlink(sys.argv[1])
file.write(bytes(3 * 2**20))
file.flush()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_file_without_a_name_is_counted_and_stops_the_model(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", UNLINKED, str(tmp_path / "hidden")], stdout=subprocess.PIPE
    )

    class Watched:
        killed = 0

        def unlinked_bytes(self, device):
            return unlinked_bytes_of([process.pid], device)

        def kill(self):
            self.killed += 1

    try:
        process.stdout.readline()
        device = tmp_path.stat().st_dev
        assert unlinked_bytes_of([process.pid, process.pid], device) >= 3 * 2**20
        assert unlinked_bytes_of([process.pid], device + 1) == 0
        assert os.getpid() in processes_beside(process.pid)
        watched = Watched()
        monitor = OutputMonitor(tmp_path, 2**20, watched)
        end = time.monotonic() + 10
        while monitor.failure is None and time.monotonic() < end:
            time.sleep(0.05)
        monitor.end()
        assert monitor.failure.status == "too-large"
        assert watched.killed == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_files_that_come_and_go_hide_no_other_file(tmp_path, monkeypatch):
    from evaluator.containers import output_monitor

    for number in range(50):
        (tmp_path / f"f{number}").write_bytes(bytes(4096))
    real = os.scandir

    class Vanishing:
        def __init__(self, path):
            self._entries = real(path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._entries.close()

        def __iter__(self):
            for number, entry in enumerate(self._entries):
                if number % 2:
                    Path(entry.path).unlink()
                yield entry

    monkeypatch.setattr(output_monitor.os, "scandir", Vanishing)
    files, size = output_monitor._count([tmp_path])
    assert (files, size) == (50, 25 * 4096)
