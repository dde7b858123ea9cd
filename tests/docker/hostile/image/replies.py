"""Attacks by what is said, and by not saying it."""

from __future__ import annotations

import ctypes
import json
import os
import time
from pathlib import Path

from request import MIB, REPLIES, attempt, say


def exit_without_answer(request):
    os._exit(0)


def exit_137(request):
    """Claim to have been killed by the system."""
    os._exit(137)


def kill_itself(request):
    """Read address 0; a signal that the first process of a container sends itself is ignored."""
    ctypes.string_at(0)


def raw_reply(make):
    def act(request):
        request.write()
        body = make(request)
        say(body)
        Path(request.folder, "reply.json").write_bytes(
            body if isinstance(body, bytes) else body.encode()
        )

    return act


def two_replies(request):
    """Answer the next request before it is asked."""
    request.write()
    request.say()
    following = "r%05d%s" % (int(request.id[1:6]) + 1, request.id[6:])
    say(json.dumps({"id": following, "targets": {}}))


def timing_lies(request):
    """Work long and claim to be quick, with the clock turned back in between."""
    request.write()
    attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
    time.sleep(1.0)
    request.say(seconds={"total": 1e-9, "infer": 0.0})


def escapes(request):
    """Escape sequences, titles, links, bidirectional controls and lone surrogates in all texts."""
    text = "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://evil\x07\u202eliver\x9b31m\ud800=1+1"
    os.write(2, text.encode("utf-8", "surrogatepass") + b"\xff\xfe\n")
    request.write()
    target = {"status": "error", "kind": text, "message": text}
    say(json.dumps({"id": request.id, "targets": {request.attack: target}, "notes": {text: text}}))


def flood_stdout(request):
    """A line without an end."""
    request.write()
    for _ in range(300):
        REPLIES.write(b"x" * MIB)
    request.say()


def flood_lines(request):
    """Lines that are no replies, one after another."""
    request.write()
    for _ in range(200_000):
        REPLIES.write(b"{}\n" * 20)
    request.say()


def flood_stderr(request):
    """A log that fills the host's disk."""
    request.write()
    for _ in range(64):
        os.write(2, b"noise " * 20_000 + b"\n")
    request.say()


def closed_stdout(request):
    """Close the way to the evaluator and go on."""
    REPLIES.close()
    os.close(1)
    time.sleep(3600)


ATTACKS = {
    "exit-0": exit_without_answer,
    "exit-137": exit_137,
    "kill-itself": kill_itself,
    "no-json": raw_reply(lambda request: "ready when you are"),
    "json-deep": raw_reply(
        lambda request: '{"id": "%s", "notes": {"a": %s}}' % (request.id, "[" * 50000 + "]" * 50000)
    ),
    "json-number": raw_reply(lambda request: '{"id": "%s", "seconds": {"a": 1e999}}' % request.id),
    "json-nan": raw_reply(lambda request: '{"id": "%s", "seconds": {"a": NaN}}' % request.id),
    "json-digits": raw_reply(
        lambda request: '{"id": "%s", "gpu_peak_bytes": %s}' % (request.id, "9" * 100_000)
    ),
    "json-long": raw_reply(lambda request: json.dumps(request.body(notes={"a": "x" * 3_000_000}))),
    "json-wide": raw_reply(
        lambda request: json.dumps(request.body(notes={str(n): n for n in range(100_000)}))
    ),
    "no-text": raw_reply(lambda request: b'{"id": "\xff\xfe\xc3\x28"}'),
    "other-id": raw_reply(lambda request: '{"id": "r00009s00k09", "targets": {}}'),
    "two-replies": two_replies,
    "timing-lies": timing_lies,
    "escapes": escapes,
    "flood-stdout": flood_stdout,
    "flood-lines": flood_lines,
    "flood-stderr": flood_stderr,
    "closed-stdout": closed_stdout,
}
