"""Several sessions on one GPU: how many, in which threads, and what a lack of memory means."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.cli.options import parse_per_gpu
from evaluator.containers.gpu_sessions import MOST, plan_sessions
from evaluator.containers.gpus import ROUNDED, Gpu
from evaluator.errors import HostError
from evaluator.evaluation import resolve as resolving
from evaluator.evaluation.claimed_tasks import exhausted_resource
from evaluator.evaluation.executors.local import LocalExecutor
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.runs.run_warnings import warnings_of
from evaluator.runs.tables import read_scores
from evaluator.types import Failure, Status
from tests.tiny import PAINTER, make_dataset

GIB = 2**30
#: a model that never has enough memory
GREEDY = PAINTER.replace(
    "    def predict(self, request):",
    "    def predict(self, request):\n        raise MemoryError('CUDA out of memory')",
)


def gpu(index: int, gib: float, part: int | None = None) -> Gpu:
    return Gpu(
        index=index, uuid=f"GPU-{index}{part}", name="fake", memory=int(gib * GIB), driver="1",
        slice=part,
    )  # fmt: skip


def card(gib: float | None, memory: float | None = None):
    return SimpleNamespace(
        name="m", gpu_memory=int(gib * GIB) if gib else None,
        memory=int(memory * GIB) if memory else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gpus", "needs", "cores", "memory", "expected"),
    [
        ([gpu(0, 80)], card(10), 64, 999, (7,)),  # 76 GiB after rounding
        ([gpu(0, 80)], card(4), 64, 999, (MOST,)),
        ([gpu(0, 80)], card(4), 3, 999, (3,)),  # each session needs a core
        ([gpu(0, 80)], card(4, memory=16), 64, 40, (2,)),  # and the machine's memory
        ([gpu(0, 80)], card(None), 64, 999, (1,)),  # the card does not tell
        ([gpu(0, 8)], card(10), 64, 999, (1,)),  # too small for one: choose_gpus has warned
        ([gpu(0, 0)], card(10), 64, 999, (1,)),  # the driver does not tell
        # slices of a GPU, beside a smaller GPU: in turn
        ([gpu(0, 40, 0), gpu(0, 20, 1), gpu(1, 11)], card(9), 5, 999, (2, 2, 1)),
        ([gpu(0, 40, 0), gpu(0, 20, 1), gpu(1, 11)], card(9), 64, 999, (4, 2, 1)),
        ([], card(10), 64, 999, ()),
    ],
)
def test_as_many_as_memory_and_cores_hold(gpus, needs, cores, memory, expected):
    assert plan_sessions(gpus, needs, "auto", cores=cores, memory=memory * GIB) == expected


@given(
    sizes=st.lists(st.floats(0, 200), max_size=6), needs=st.floats(0.5, 100),
    cores=st.integers(1, 128), memory=st.floats(1, 2000),
)  # fmt: skip
def test_the_plan_never_exceeds_what_there_is(sizes, needs, cores, memory):
    gpus = [gpu(index, size) for index, size in enumerate(sizes)]
    model = card(needs, memory=8)
    plan = plan_sessions(gpus, model, "auto", cores=cores, memory=int(memory * GIB))
    assert len(plan) == len(gpus)
    for entry, sessions in zip(gpus, plan, strict=True):
        assert 1 <= sessions <= MOST
        assert sessions == 1 or sessions * model.gpu_memory <= entry.memory * ROUNDED
    if sum(plan) > len(gpus):
        assert sum(plan) <= cores
        assert sum(plan) * model.memory <= memory * GIB


def test_a_number_is_taken_and_told_where_memory_is_short(messages):
    gpus = [gpu(0, 24), gpu(1, 80)]
    assert plan_sessions(gpus, card(20), 3, cores=2, memory=GIB) == (3, 3)
    (line,) = (line for line in messages if "may run out of memory" in line)
    assert line.startswith("GPU 0 (fake) has 24.0 GiB; 3 sessions of model m need 60.0 GiB")
    assert (parse_per_gpu("auto"), parse_per_gpu("4")) == ("auto", 4)
    for text in ("0", "-1", "65", "many", "", "1.5", "²"):
        with pytest.raises(click.UsageError, match="--per-gpu"):
            parse_per_gpu(text)


def test_sessions_of_one_gpu_work_at_the_same_time_and_share_the_tasks(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path))
    together, took = threading.Barrier(5, timeout=30), []

    def work(tasks, uuid):
        together.wait()
        took.extend((uuid, task) for task in tasks)

    LocalExecutor([gpu(0, 80), gpu(1, 24)], "run", (3, 2)).run(list(range(20)), work)
    assert sorted(task for _, task in took) == list(range(20))

    def fail(tasks, uuid):
        next(tasks)
        raise HostError(uuid)

    with pytest.raises(HostError, match="GPU-0None"):
        LocalExecutor([gpu(0, 80)], "run", (2,)).run([1, 2], fail)


@pytest.mark.parametrize(("gpus", "sessions"), [([0], (2,)), ([0, 1], (1, 1))])
def test_ctrl_c_ends_all_sessions(gpus, sessions, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path))
    together, stop, ended = threading.Barrier(2, timeout=30), threading.Event(), []

    def work(tasks, uuid):
        if together.wait() == 0:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        ended.append(stop.wait(30))

    executor = LocalExecutor([gpu(index, 80) for index in gpus], "run", sessions, stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            executor.run([1, 2, 3], work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == [True, True]


def test_lack_of_memory_and_time_is_seen_in_an_answer_and_in_a_failure():
    def outcome(**facts):
        return SimpleNamespace(**{"failure": None, "reply": None} | facts)

    def reply(status, kind):
        return SimpleNamespace(targets={"liver": SimpleNamespace(status=status, kind=kind)})

    def failed(status):
        return exhausted_resource(outcome(failure=Failure(status=status, detail="")))

    assert failed(Status.OUT_OF_MEMORY) == "memory"
    assert failed(Status.TIMEOUT) == "time"
    assert failed(Status.CRASHED) == ""
    assert exhausted_resource(outcome(reply=reply("error", "out-of-memory"))) == "memory"
    assert exhausted_resource(outcome(reply=reply("error", "other"))) == ""
    assert exhausted_resource(outcome(reply=reply("ok", None))) == ""
    assert exhausted_resource(outcome()) == ""


def test_a_run_on_a_shared_gpu_has_the_scores_of_one_alone(project, tmp_path, monkeypatch):
    """The GPU is a fake: two local sessions at the same time."""
    project({"painter": PAINTER, "greedy": GREEDY}, gpu="optional", **{"gpu-memory": "10GiB"})
    data = make_dataset(tmp_path / "data", list("abcd"), ("CT",))
    config = RunConfig(
        model="painter", dataset=str(data), protocol="box", engine="local", recheck=0, per_gpu=2
    )
    monkeypatch.setattr(resolving, "find_gpus", lambda: (gpu(0, 24),))
    run = execute(resolve(config))
    assert run.info().sessions_per_gpu == 2
    assert any("SHARED GPU: up to 2" in line for line in warnings_of(run))
    # the model's lack of memory is no result while the GPU is shared, and one when it is not
    greedy = replace(config, model="greedy")
    with pytest.raises(HostError, match="ran out of memory while several sessions"):
        execute(resolve(greedy))
    alone = execute(resolve(replace(greedy, per_gpu=1)))
    assert set(read_scores(alone)["status"]) == {"out-of-memory"}
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "alone"))
    monkeypatch.setattr(resolving, "find_gpus", lambda: ())
    single = execute(resolve(replace(config, per_gpu=1)))
    assert read_scores(single).equals(read_scores(run))
    assert not any("SHARED GPU" in line for line in warnings_of(single))
