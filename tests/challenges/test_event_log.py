"""The log: a chain of hashes that shows every change."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from evaluator.challenges.event_log import START, EventLog, hash_of, verify_chain
from evaluator.errors import DamagedFileError


@pytest.fixture
def log(tmp_path):
    log = EventLog(tmp_path / "log.jsonl")
    for number in range(6):
        log.append("received", submission=f"s{number}", facts={"number": number})
    return log


def lines_of(log: EventLog) -> list[bytes]:
    return log._path.read_bytes().splitlines(keepends=True)


def test_an_intact_log(log):
    check = verify_chain(log._path)
    assert (check.lines, check.broken_line) == (6, None)
    assert check.head == log.head() != START
    assert [event.number for event in log.events()] == [1, 2, 3, 4, 5, 6]
    assert verify_chain(log._path.with_name("none")).head == START


def changed(line: bytes) -> bytes:
    return line.replace(b'"number": 2}', b'"number": 9}')


def rehashed(line: bytes) -> bytes:
    body = json.loads(changed(line))
    return json.dumps(body | {"hash": hash_of(body)}).encode() + b"\n"


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda lines: [*lines[:2], changed(lines[2]), *lines[3:]], 3),
        (lambda lines: [*lines[:2], rehashed(lines[2]), *lines[3:]], 4),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:3], lines[4], lines[3], lines[5]], 4),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: [*lines[:4], b"{}\n", *lines[4:]], 5),
        (lambda lines: [*lines[:5], lines[5][:-1]], 6),
    ],
)
def test_the_first_broken_line_is_named(log, change, broken):
    log._path.write_bytes(b"".join(change(lines_of(log))))
    assert verify_chain(log._path).broken_line == broken


def test_every_flipped_bit_of_a_line_is_seen(log):
    content = log._path.read_bytes()
    chosen = random.Random(5)
    for _ in range(200):
        place = chosen.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << chosen.randrange(8)
        log._path.write_bytes(bytes(damaged))
        line = content[:place].count(b"\n") + 1
        assert verify_chain(log._path).broken_line in (line, line + 1), place


def test_lines_that_were_cut_off_are_seen_with_a_head_that_was_noted(log):
    head = log.head()
    log._path.write_bytes(b"".join(lines_of(log)[:4]))
    assert verify_chain(log._path).broken_line is None
    check = verify_chain(log._path, head)
    assert check.broken_line == 5
    assert "noted earlier" in check.reason


def test_an_interrupted_write_is_cut_off_by_the_next_one(log):
    with log._path.open("ab") as file:
        file.write(b'{"number": 7, "ti')
    assert len(list(log.events())) == 6
    log.head()  # reading cuts nothing off: the rest may be a line that is being written
    assert log._path.read_bytes().endswith(b'"ti')
    assert log.append("scored").number == 7
    assert verify_chain(log._path).broken_line is None


def test_a_damaged_last_line_is_told(log):
    with log._path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(DamagedFileError, match="the last line is damaged"):
        log.append("scored")


def test_text_of_teams_is_harmless_and_long_lines_are_read(log):
    log.append("failed", facts={"detail": "\x1b[31mred\u202e" + "x" * 200_000, "b": ["y" * 70_000]})
    last = log.append("failed", facts={str(n): "z" * 1900 for n in range(60)})
    assert log.append("scored").before == last.hash
    assert b"\\u001b" not in log._path.read_bytes()
    assert verify_chain(log._path).broken_line is None


APPEND = """
import sys
from pathlib import Path
from evaluator.challenges.event_log import EventLog
for number in range(40):
    EventLog(Path(sys.argv[1])).append("received", submission=f"{sys.argv[2]}-{number}")
"""


def test_several_processes_append_to_one_chain(log):
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(log._path), str(number)])
        for number in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    check = verify_chain(log._path)
    assert (check.lines, check.broken_line) == (126, None)
