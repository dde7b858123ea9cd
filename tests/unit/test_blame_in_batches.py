"""A container of a batch that dies: what it answered stays, and the right request is blamed."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.containers import StartHistory, answer_batch
from evaluator.containers.contracts.cvpr25 import has_zip_end
from evaluator.containers.engines.spec import Exit, Limits, Model
from evaluator.containers.requests import StagedRequest
from evaluator.containers.workspace import fresh_workspace
from evaluator.imaging.geometry import make_grid
from evaluator.zoo.cards import parse_card

GRID = make_grid((2, 2, 2), np.eye(4))
LIMITS = Limits(timeout=0.2, startup=0.2, output_bytes=2**16)
GOOD = Exit(code=0, out_of_memory=False, tail="")
CRASH = Exit(code=3, out_of_memory=False, tail="died")


def native(request, output):
    (output / request).mkdir()
    (output / request / "reply.json").write_text("{}")


def cvpr25(request, output):
    np.savez(output / f"{request}.npz", segs=np.zeros((2, 2, 2), np.uint8))


class FakeProcess:
    """A container that ``behave`` has worked for; then it has ended, or hangs."""

    def __init__(self, requests, output, behave):
        self.hangs, self.end = False, GOOD
        result = behave(requests, output)
        if result == "hang":
            self.hangs = True
        elif result is not None:
            self.end = result

    def running(self):
        return self.hangs

    def peak_memory(self):
        return None

    def unlinked_bytes(self, device):
        return 0

    def finish(self, timeout):
        return self.kill()

    def kill(self):
        self.hangs = False
        return self.end


class FakeEngine:
    name, isolates, sessions = "docker", True, True

    def __init__(self, behave):
        self.behave, self.batches = behave, []

    def start(self, model, workspace, limits, *, run_id, mode, command, gpu, log):
        requests = sorted({path.stem for path in workspace.input.rglob("r*.*")})
        self.batches.append(" ".join(requests))
        return FakeProcess(requests, workspace.output, self.behave)

    def check_folders(self, image, workspace, *, run_id, gpu):
        return True


@pytest.fixture
def answer(tmp_path):
    """Statuses of r0 to r3 and the batches that were started."""

    def run(behave, contract="1"):
        card = parse_card({"umd.contract": contract, "umd.name": "m", "umd.inputs": "CT"})
        model = Model(card=card, image="i", digest="d", adapter=None)
        engine = FakeEngine(behave)
        workspace = fresh_workspace(tmp_path / "work")
        requests = []
        for number in range(4):
            file = workspace.input / "requests" / f"r{number}.json"
            file.write_text("{}")
            requests.append(
                StagedRequest(id=f"r{number}", targets=("t",), grid=GRID, files=(file,), images=())
            )
        placement = {"run_id": "r", "log": tmp_path / "log", "history": StartHistory()}
        outcomes = list(answer_batch(engine, model, workspace, requests, LIMITS, **placement))
        return {
            outcome.request.id: str(outcome.failure.status) if outcome.failure else "ok"
            for outcome in outcomes
        }, engine.batches

    return run


BAD = "r2"


def expected(status):
    return {"r0": "ok", "r1": "ok", "r2": status, "r3": "ok"}


def test_a_crash_at_a_request_keeps_the_answers_before_it(answer):
    def crash(requests, output):
        for request in requests:
            if request == BAD:
                return CRASH
            native(request, output)
        return None

    statuses, batches = answer(crash)
    assert statuses == expected("crashed")
    assert batches == ["r0 r1 r2 r3", "r2", "r3"]


def test_a_container_that_dies_before_any_answer_is_blamed_on_the_request_that_kills_it(answer):
    """An image that reads all its inputs at first dies of the one that it cannot read."""

    def crash(requests, output):
        if BAD in requests:
            return CRASH
        for request in requests:
            native(request, output)
        return None

    statuses, batches = answer(crash)
    assert statuses == expected("crashed")
    assert batches == ["r0 r1 r2 r3", "r0", "r1 r2 r3", "r1", "r2 r3", "r2", "r3"]


def test_answers_in_any_order_are_kept(answer):
    def backwards(requests, output):
        for request in reversed(requests):
            if request == BAD:
                (output / f"{BAD}.npz").write_bytes(b"PK\x03\x04 cut short")
                return CRASH
            cvpr25(request, output)
        return None

    statuses, batches = answer(backwards, "cvpr25-batch")
    assert statuses == expected("crashed")
    assert batches == ["r0 r1 r2 r3", "r0", "r1 r2", "r1", "r2", "r2"]


def test_a_hang_keeps_complete_answers(answer):
    def hang(requests, output):
        for request in reversed(requests):
            if request == "r0":
                return "hang"
            cvpr25(request, output)
        return None

    statuses, batches = answer(hang, "cvpr25-batch")
    assert statuses == {"r0": "timeout", "r1": "ok", "r2": "ok", "r3": "ok"}
    assert batches == ["r0 r1 r2 r3"]


@pytest.mark.parametrize("bad", ["r0", "r2"])
def test_the_request_that_writes_too_much_is_blamed_although_others_are_answered(answer, bad):
    def flood(requests, output):
        for request in requests:
            if request == bad:
                (output / "junk").write_bytes(bytes(2**20))
            native(request, output)

    statuses, batches = answer(flood)
    assert statuses == dict.fromkeys(("r0", "r1", "r2", "r3"), "ok") | {bad: "too-large"}
    assert batches[-2:] == (["r0", "r1 r2 r3"] if bad == "r0" else ["r2", "r3"])


def test_the_end_of_a_zip_file(tmp_path):
    np.savez(tmp_path / "a.npz", segs=np.zeros(100))
    assert has_zip_end(tmp_path / "a.npz")
    body = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(body[:-22])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "link.npz").symlink_to(tmp_path / "a.npz")
    (tmp_path / "folder.npz").mkdir()
    for name in ("cut", "empty", "link", "folder", "missing"):
        assert not has_zip_end(tmp_path / f"{name}.npz"), name
