"""What ends a request: the model, the host, or somebody else; each is asked again as often as it
should be."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from docker.errors import APIError

from evaluator.containers import ModelSession, StartHistory, answer_batch
from evaluator.containers.engines.docker_errors import refused_start
from evaluator.containers.engines.podman_engine import refusal
from evaluator.containers.engines.podman_process import PodmanProcess
from evaluator.containers.engines.programs import Program
from evaluator.containers.engines.refusals import lacks_of_host
from evaluator.containers.engines.spec import Exit, Limits, Model, RefusedStartError
from evaluator.containers.requests import StagedRequest
from evaluator.containers.workspace import fresh_workspace
from evaluator.errors import HostError
from evaluator.imaging.geometry import make_grid
from evaluator.zoo.cards import parse_card

CARD = parse_card({"umd.contract": "1", "umd.name": "m", "umd.inputs": "CT"})
MODEL = Model(card=CARD, image="i", digest="d", adapter=None)
LIMITS = Limits(timeout=0.1, startup=0.1)
GRID = make_grid((2, 2, 2), np.eye(4))

ENDS = {
    "crash": Exit(code=3, out_of_memory=False, tail="no such layer"),
    "killed": Exit(code=137, out_of_memory=False, tail="", outside="killed"),
    "sigkill": Exit(code=137, out_of_memory=False, tail=""),
    "memory": Exit(code=137, out_of_memory=True, tail=""),
    "paused": Exit(code=137, out_of_memory=False, tail="", outside="paused"),
    "hang": Exit(code=137, out_of_memory=False, tail=""),
    "good": Exit(code=0, out_of_memory=False, tail=""),
    "removes-output": Exit(code=0, out_of_memory=False, tail=""),
}


class FakeProcess:
    """A model that does what its word says at its first request."""

    def __init__(self, word, workspace, mode):
        self.word, self.workspace, self.mode = word, workspace, mode
        self.lines = [json.dumps({"ready": True})]
        self.answers = word in ("good", "removes-output")
        if mode == "batch" and self.answers:
            for path in sorted((workspace.input / "requests").iterdir()):
                folder = workspace.output / path.stem
                folder.mkdir()
                (folder / "reply.json").write_text("{}")

    def read_line(self, timeout):
        if self.lines:
            return self.lines.pop(0)
        if self.word in ("hang", "paused"):
            return None
        raise EOFError

    def send_line(self, line):
        if self.answers:
            self.lines.append(json.dumps({"id": line}))
        if self.word == "removes-output":
            shutil.rmtree(self.workspace.output)

    def running(self):
        return self.word in ("hang", "paused")

    def peak_memory(self):
        return None

    def unlinked_bytes(self, device):
        return 0

    def finish(self, timeout):
        return self.kill()

    def kill(self):
        return ENDS[self.word]


class FakeEngine:
    """Starts one process for each word; checks are counted and may fail."""

    name, isolates, sessions = "docker", True, True

    def __init__(self, words, *, shares_files=True):
        self.words, self.shares_files = list(words), shares_files
        self.started, self.checked = [], 0

    def start(self, model, workspace, limits, *, run_id, mode, command, gpu, log):
        word = self.words.pop(0)
        self.started.append(word)
        if word == "refused":
            raise RefusedStartError("exec: no such file")
        return FakeProcess(word, workspace, mode)

    def check_folders(self, image, workspace, *, run_id, gpu):
        self.checked += 1
        if not self.shares_files:
            raise HostError("the container engine does not see the evaluator's folder")
        return True


@pytest.fixture
def ask(tmp_path):
    """Ask the requests in a session or a batch: ``ask(words, mode) -> (outcomes, engine)``."""

    def run(words, mode, count=1, *, begin=False, **options):
        engine = FakeEngine(words, **options)
        workspace = fresh_workspace(tmp_path / "work")
        requests = []
        for number in range(count):
            file = workspace.input / "requests" / f"r{number}.json"
            file.write_text("{}")
            requests.append(
                StagedRequest(id=f"r{number}", targets=("t",), grid=GRID, files=(file,), images=())
            )
        placement = {"run_id": "run", "log": Path(tmp_path / "log"), "history": StartHistory()}
        if mode == "batch":
            outcomes = list(answer_batch(engine, MODEL, workspace, requests, LIMITS, **placement))
        else:
            with ModelSession(engine, MODEL, workspace, LIMITS, **placement) as session:
                if begin:
                    session.begin()
                outcomes = [session.ask(request) for request in requests]
        return outcomes, engine

    return run


both = pytest.mark.parametrize("mode", ["session", "batch"])


@both
@pytest.mark.parametrize(
    ("words", "status", "attempts"),
    [
        (["good"], None, []),
        # a crash is believed when it happens twice
        (["crash", "crash"], "crashed", ["crashed"]),
        (["crash", "good"], None, ["crashed"]),
        # what was done from outside is asked again
        (["killed", "good"], None, ["crashed"]),
        (["killed", "killed", "good"], None, ["crashed", "crashed"]),
        (["paused", "good"], None, ["crashed"]),
        (["sigkill", "good"], None, ["crashed"]),
        # nobody is known to have sent it: after three the model is believed to end so
        (["sigkill", "sigkill", "sigkill"], "crashed", ["crashed", "crashed"]),
        (["memory"], "out-of-memory", []),
        (["hang"], "timeout", []),
        (["refused", "good"], None, ["crashed"]),
        (["refused", "refused"], "crashed", ["crashed"]),
    ],
)
def test_a_request_is_asked_again_as_its_end_demands(ask, mode, words, status, attempts):
    (outcome,), engine = ask(words, mode)
    assert (outcome.failure and outcome.failure.status) == status
    assert [attempt.status for attempt in outcome.attempts] == attempts
    assert engine.started == words


@pytest.mark.parametrize(
    "words",
    [["good"], ["crash", "good"], ["killed", "good"], ["refused", "good"], ["refused", "refused"],
     ["memory"], ["hang"], ["sigkill", "sigkill", "sigkill"]],
)  # fmt: skip
def test_a_model_that_is_started_before_its_first_request_ends_alike(ask, words):
    (expected,), _ = ask(words, "session")
    (outcome,), engine = ask(words, "session", begin=True)
    assert engine.started == words
    assert outcome.load_seconds is not None
    assert (outcome.failure, outcome.attempts) == (expected.failure, expected.attempts)


def test_a_model_that_was_started_and_never_asked_is_ended(ask):
    outcomes, engine = ask(["good"], "session", count=0, begin=True)
    assert (outcomes, engine.started) == ([], ["good"])


@both
def test_a_container_that_is_ended_from_outside_each_time_stops_the_run(ask, mode):
    with pytest.raises(HostError, match="killed from outside, 3 times"):
        ask(["killed", "killed", "killed"], mode)


@both
def test_a_model_is_not_asked_where_containers_see_other_files(ask, mode):
    with pytest.raises(HostError, match="does not see"):
        ask(["good"], mode, shares_files=False)


@both
def test_folders_are_checked_once_and_again_after_a_refused_start(ask, mode):
    _, engine = ask(["good"], mode, count=3)
    assert engine.checked == 1
    (outcome,), engine = ask(["refused", "refused"], mode)
    assert "could not be set up" in outcome.failure.detail
    assert engine.checked == 3


def test_a_removed_output_folder_is_not_the_models_fault(ask):
    (outcome,), _ = ask(["removes-output", "good"], "session")
    assert outcome.failure is None
    assert "was removed" in outcome.attempts[0].detail
    with pytest.raises(HostError, match="was removed"):
        ask(["removes-output"] * 3, "session")


@both
def test_a_model_that_hangs_is_given_up_after_three_starts(ask, mode, messages):
    outcomes, engine = ask(["hang"] * 3, mode, count=6)
    assert [outcome.failure.status for outcome in outcomes] == ["timeout"] * 6
    assert engine.started == ["hang"] * 3
    assert "not started again" in outcomes[-1].failure.detail
    assert sum("given up" in line for line in messages) == 1


def test_the_starts_of_several_batches_are_counted_together(tmp_path):
    """Else each round of a protocol, and the check at the end, would wait for a hang again."""
    history = StartHistory()
    for rounds in range(4):
        engine = FakeEngine(["hang"] * 3)
        workspace = fresh_workspace(tmp_path / f"work{rounds}")
        file = workspace.input / "requests" / "r0.json"
        file.write_text("{}")
        request = StagedRequest(id="r0", targets=("t",), grid=GRID, files=(file,), images=())
        (outcome,) = answer_batch(
            engine,
            MODEL,
            workspace,
            [request],
            LIMITS,
            run_id="run",
            log=tmp_path / "log",
            history=history,
        )
        assert outcome.failure.status == "timeout"
        assert len(engine.started) == (rounds < 3)


def test_what_a_failed_start_wrote_goes_with_it_and_answers_stay(tmp_path):
    from evaluator.containers.safe_removal import discard_rest

    for name in ("answer", "junk"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(100))
    (tmp_path / "file").write_bytes(bytes(100))
    (tmp_path / "link").symlink_to(tmp_path / "answer")
    discard_rest(tmp_path, {tmp_path / "answer"})
    assert [path.name for path in tmp_path.iterdir()] == ["answer"]
    assert (tmp_path / "answer" / "file").is_file()


@pytest.mark.parametrize(
    ("reason", "lack"),
    [
        # reported for engines whose disk, /dev/shm, kernel memory or processes were used up
        ("mounting shm tmpfs: no space left on device", "no space left on device"),
        ("mkdir /sys/fs/cgroup/memory/docker/4f: cannot allocate memory: unknown.", "cannot alloc"),
        ("write /var/lib/docker/tmp/x: no space left on device", "no space left"),
        ("fork/exec /usr/bin/shim: resource temporarily unavailable", "resource"),
        (
            "can't copy bootstrap data to pipe: resource temporarily unavailable: unknown",
            "resource",
        ),
        # an image chooses these names
        ('exec: "/no space left on device": no such file or directory: unknown', ""),
        ('exec: "/x": no space left on device', ""),
        ("unable to find user no space left on device: no matching entries in passwd file", ""),
        ("invalid signal: NO SPACE LEFT ON DEVICE", ""),
        # and declares a volume below its read-only input
        ('mounting "tmpfs" to rootfs at "/input/x": mkdir /input/x: read-only file system', ""),
        ("Minimum memory limit allowed is 6MB", ""),
        ("", ""),
    ],
)
def test_what_the_machine_lacks_is_not_the_models_fault(reason, lack):
    error = refused_start(None, APIError("refused", explanation=reason))
    assert isinstance(error, HostError if lack else RefusedStartError)
    assert isinstance(refusal(reason), HostError if lack else RefusedStartError)
    assert lack in lacks_of_host(reason)


def test_a_full_temporary_folder_is_not_the_models_fault(monkeypatch):
    def make_none(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", make_none)
    program = Program(command=("true",), environment={})
    with pytest.raises(HostError, match="no temporary folder can be made: No space left"):
        PodmanProcess(program, SimpleNamespace(name="x"), None, "batch")
