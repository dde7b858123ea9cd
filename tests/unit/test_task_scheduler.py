"""The model is started while the first request is prepared, and only if one is expected."""

from __future__ import annotations

import threading

import pytest

from evaluator.evaluation.task_scheduler import run_in_session

SECONDS = 20.0


class OneRequest:
    """An evaluation of one request, which is ready when the model has been started."""

    def __init__(self, started: threading.Event, *, expects_request: bool) -> None:
        self.started, self.expects_request = started, expects_request
        self.outcomes: list[str] = []

    def next_request(self):
        if not self.expects_request or self.outcomes:
            return None
        assert self.started.wait(SECONDS), "the start waited for the request"
        return "request"

    def receive(self, outcome):
        self.outcomes.append(outcome)


def run(evaluations, started, threads):
    starts = []

    def begin():
        starts.append(True)
        started.set()

    run_in_session(
        iter(evaluations),
        lambda request: f"outcome of {request}",
        threads=threads,
        stop=threading.Event(),
        begin=begin,
    )
    return len(starts)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_model_starts_beside_the_first_request(threads):
    started = threading.Event()
    evaluations = [OneRequest(started, expects_request=number > 4) for number in range(9)]
    assert run(evaluations, started, threads) == 1
    for number, evaluation in enumerate(evaluations):
        assert evaluation.outcomes == (["outcome of request"] if number > 4 else [])


def test_nothing_is_started_for_scans_that_are_done():
    started = threading.Event()
    assert run([OneRequest(started, expects_request=False)] * 3, started, 2) == 0
