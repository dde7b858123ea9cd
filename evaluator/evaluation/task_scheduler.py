"""Bring scan tasks and a model together: one request at a time in a session, many in batches.

The evaluator's work on a scan (read, validate, correct, score) is done in worker threads, so the
model seldom waits.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from evaluator.containers import RequestOutcome
    from evaluator.containers.requests import StagedRequest

#: scans under way at once in a session; more would hide longer corrections and take more memory
OPEN = 4


class Evaluation(Protocol):
    """A task at work."""

    @property
    def expects_request(self) -> bool:
        """Whether the model will be needed, as far as is known."""

    def next_request(self) -> StagedRequest | None:
        """The next request; None when the task is finished."""

    def receive(self, outcome: RequestOutcome) -> None:
        """Take the outcome of the last request."""


def run_in_session(
    evaluations: Iterator[Evaluation],
    ask: Callable[[StagedRequest], RequestOutcome],
    *,
    threads: int,
    stop: threading.Event,
    at_once: int = OPEN,
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Finish all evaluations with one request at a time.

    ``at_once`` evaluations take turns in a fixed order, so the model gets its requests in the same
    order with any number of threads and on any machine. While one waits for the model, the others
    are read, corrected or scored.

    Args:
        evaluations: what is finished; several calls, one for each GPU, may take from one iterator.
        ask: answers a request.
        threads: evaluations that are worked on at once.
        stop: ends the call early when it is set, and is set when the call fails.
        at_once: evaluations that are open at the same time.
        begin: starts the model; called while the first request is prepared, if one is expected.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="scan") as pool:
        turns: deque[tuple[Evaluation, Future[StagedRequest | None]]] = deque()
        begun = False
        try:
            while not stop.is_set():
                for evaluation in islice(evaluations, at_once - len(turns)):
                    turns.append((evaluation, pool.submit(evaluation.next_request)))
                if not turns:
                    return
                if not begun and any(evaluation.expects_request for evaluation, _ in turns):
                    begun = True
                    begin()
                evaluation, future = turns.popleft()
                request = future.result()
                if request is not None:
                    outcome = ask(request)
                    turns.append((evaluation, pool.submit(_advance, evaluation, outcome)))
        except BaseException:
            stop.set()
            raise
        finally:
            for _, future in turns:
                future.cancel()


def run_in_batches(
    evaluations: Iterator[Evaluation],
    ask_all: Callable[[Sequence[StagedRequest]], Iterable[RequestOutcome]],
    *,
    threads: int,
    stop: threading.Event,
    at_once: int,
) -> None:
    """Finish all evaluations round by round: a round's requests of many scans are one batch.

    Args:
        evaluations: see ``run_in_session``.
        ask_all: answers the requests of one round, in any order.
        threads: evaluations that are worked on at once.
        stop: when it is set, no further batch begins.
        at_once: scans that are staged and answered together.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="scan") as pool:
        while not stop.is_set() and (opened := list(islice(evaluations, at_once))):
            first = list(pool.map(lambda evaluation: evaluation.next_request(), opened))
            waiting = _by_id(opened, first)
            while waiting:
                going: list[tuple[Evaluation, Future[StagedRequest | None]]] = []
                requests = [request for request, _ in waiting.values()]
                for outcome in ask_all(requests):
                    _, evaluation = waiting.pop(outcome.request.id)
                    going.append((evaluation, pool.submit(_advance, evaluation, outcome)))
                following = [future.result() for _, future in going]
                waiting = _by_id([evaluation for evaluation, _ in going], following)


def _by_id(
    evaluations: Sequence[Evaluation], requests: Sequence[StagedRequest | None]
) -> dict[str, tuple[StagedRequest, Evaluation]]:
    """The open requests, ordered by id, with their evaluations."""
    pairs = zip(evaluations, requests, strict=True)
    waiting = {request.id: (request, evaluation) for evaluation, request in pairs if request}
    return dict(sorted(waiting.items()))


def _advance(evaluation: Evaluation, outcome: RequestOutcome) -> StagedRequest | None:
    evaluation.receive(outcome)
    return evaluation.next_request()
