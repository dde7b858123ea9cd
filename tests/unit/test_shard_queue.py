"""The shards of a suite that wait for workers of dask, in the order in which they are given out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from evaluator.evaluation.cluster.shard_orders import WORKER_CLOSED, ShardAnswer
from evaluator.evaluation.cluster.shard_queue import (
    PAUSE,
    PAUSE_FOR_OTHERS,
    ShardQueue,
    ShardTask,
    assignments,
    free_slots,
    shard_tasks,
)
from evaluator.runs.shards import Shard


def job(name: str, gpu: str = "none", subjects: int = 4):
    return SimpleNamespace(
        run=name, card=SimpleNamespace(gpu=gpu),
        shards=lambda count: [Shard(i, count) for i in range(1, min(count, subjects) + 1)],
    )  # fmt: skip


def answer(status: int) -> ShardAnswer:
    return ShardAnswer(status=status, host="n1", reason="why")


def test_the_first_shards_of_all_runs_come_first():
    order = [str(task) for task in shard_tasks([job("a"), job("b", subjects=1)], 2)]
    assert order == ["a, shard 1/2", "b, shard 1/2", "a, shard 2/2"]


def test_slots_are_given_to_workers_in_turn_and_by_their_kind():
    tasks = list(shard_tasks([job("net", "required"), job("cpu")], 3))
    queue = ShardQueue(lambda _: False, lambda _: False, list(tasks))
    offered = {"w1": {"GPU": 2, "CPU": 1}, "w2": {"CPU": 1, "memory": 9}, "w3": {}}
    taken = [("w1", ShardTask(job=job("x", "optional"), shard=Shard(1, 1)))]
    given = assignments(queue, free_slots(offered, taken), 0.0)
    assert [(worker, task.job.run) for worker, task in given] == [
        ("w1", "net"), ("w2", "cpu"), ("w1", "cpu"),
    ]  # fmt: skip
    assert len(queue.waiting) == 3


def test_a_shard_that_fails_goes_to_another_worker_and_is_given_up_at_last():
    (task,) = shard_tasks([job("a")], 1)
    working = [True]
    queue = ShardQueue(lambda _: False, lambda _: working[0], [task])
    slots = {"CPU": 1}
    assert queue.next_for("w1", slots, 0.0) is task
    assert "status 8" in queue.answered(task, "w1", answer(8), 0.0)
    assert queue.next_for("w2", slots, PAUSE / 2) is None
    assert queue.next_for("w1", slots, PAUSE) is None
    queue.forgive({"w1": slots, "w2": slots})
    assert queue.next_for("w1", slots, PAUSE) is None
    queue.forgive({"w1": slots, "w2": {"GPU": 1}})  # no other worker can do it any more
    assert queue.next_for("w1", slots, PAUSE) is task
    # a worker or scheduler that is lost does not count
    for _ in range(5):
        queue.answered(task, "w1", answer(WORKER_CLOSED), PAUSE)
        assert queue.next_for("w1", slots, PAUSE) is task
    # neither do living processes that have cases of it
    for now in range(5):
        reason = queue.answered(task, "w1", answer(0), now * PAUSE_FOR_OTHERS)
        assert "other processes have cases" in reason
        assert queue.next_for("w1", slots, now * PAUSE_FOR_OTHERS + PAUSE) is None
        assert queue.next_for("w1", slots, (now + 1) * PAUSE_FOR_OTHERS) is task
    working[0] = False  # so this machine does not see what the worker wrote
    queue.answered(task, "w1", answer(0), 0.0)
    assert queue.next_for("w1", slots, PAUSE_FOR_OTHERS) is task
    queue.answered(task, "w1", answer(3), PAUSE_FOR_OTHERS)
    assert "status 3" in queue.given_up[task]
    assert not queue.waiting


def test_the_run_folder_tells_what_is_done_and_not_the_answer():
    (task,) = shard_tasks([job("a")], 1)
    queue = ShardQueue(lambda _: True, lambda _: False)
    assert queue.answered(task, "w1", answer(8), 0.0) == ""
    assert not queue.waiting
    assert not queue.given_up


def test_no_shard_is_forgotten_when_the_scheduler_is_lost_while_shards_are_sent():
    from evaluator.evaluation.cluster import dask_suite

    tasks = list(shard_tasks([job("a", subjects=3)], 3))
    queue = ShardQueue(lambda _: False, lambda _: False, list(tasks))
    sent = []

    def submit(_worker, name, *_):
        if sent:
            raise dask_suite.Lost("closed")
        sent.append(name)

    workers = SimpleNamespace(submit=submit, offered=lambda: {"w1": {"CPU": 3}})
    dispatch = dask_suite._Dispatch(queue, lambda _: None, lambda _: None)
    with pytest.raises(dask_suite.Lost):
        dispatch.all_shards(workers)
    assert [entry[1] for entry in dispatch.in_flight] == tasks[:1]
    assert queue.waiting == tasks[1:]
    dispatch.take_back_all()
    assert queue.waiting == tasks
