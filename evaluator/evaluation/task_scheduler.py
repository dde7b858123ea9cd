"""Bring conversations about scans and a model together: one at a time in a session, many at once in batches.

A conversation is a generator that yields requests and is sent answers (``evaluator.evaluation.scan_task``). Its own work,
reading, checking, correcting, scoring, is done in worker threads, so that the model seldom waits.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from evaluator.containers import RequestOutcome
    from zoo_sdk.wire import Request

    Talk = Generator[Request, RequestOutcome, None]

#: conversations under way at once in a session; more would hide longer corrections, and hold more scans in memory
OPEN = 4


def run_in_session(
    talks: Iterator[Talk],
    ask: Callable[[Request], RequestOutcome],
    *,
    threads: int,
    stop: threading.Event,
) -> None:
    """Answer all conversations through ``ask``, one request at a time, until they are over or ``stop`` is set.

    ``OPEN`` conversations take turns, whichever is ready first: so the model is asked in the same order at any number of
    threads and on any machine. While one waits for the model, ``threads`` of the others are read in, corrected or scored.
    Several of these may share one thread-safe iterator of ``talks`` (``Shared``), one for each GPU; then who gets which
    conversation is chance.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="scan") as pool:
        turns: deque[tuple[Talk, Future[Request | None]]] = deque()
        try:
            while not stop.is_set():
                for talk in islice(talks, OPEN - len(turns)):
                    turns.append((talk, pool.submit(_advance, talk, None)))
                if not turns:
                    return
                talk, future = turns.popleft()
                request = future.result()
                if request is not None:
                    turns.append((talk, pool.submit(_advance, talk, ask(request))))
        except BaseException:
            stop.set()
            raise
        finally:
            for _, future in turns:
                future.cancel()


def run_in_batches(
    talks: Iterator[Talk],
    ask_all: Callable[[Sequence[Request]], Iterable[RequestOutcome]],
    *,
    threads: int,
    at_once: int,
) -> None:
    """Answer all conversations round by round: each round's requests of ``at_once`` scans go to one container start."""
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="scan") as pool:
        while opened := list(islice(talks, at_once)):
            asked = _requests(opened, list(pool.map(lambda talk: _advance(talk, None), opened)))
            while asked:
                by_id = {request.id: talk for talk, request in asked}
                going = []
                for answer in ask_all([request for _, request in asked]):
                    talk = by_id.pop(answer.request.id)
                    going.append((talk, pool.submit(_advance, talk, answer)))
                asked = _requests(
                    [talk for talk, _ in going], [future.result() for _, future in going]
                )


class Shared:
    """An iterator that several threads may take from."""

    def __init__(self, talks: Iterable[Talk]) -> None:
        self._talks, self._lock = iter(talks), threading.Lock()

    def __iter__(self) -> Iterator[Talk]:
        """Itself."""
        return self

    def __next__(self) -> Talk:
        """The next one, given to one thread only."""
        with self._lock:
            return next(self._talks)


def _requests(
    talks: Iterable[Talk], requests: Iterable[Request | None]
) -> list[tuple[Talk, Request]]:
    both = zip(talks, requests, strict=True)
    return sorted(
        ((talk, request) for talk, request in both if request is not None),
        key=lambda pair: pair[1].id,
    )


def _advance(talk: Talk, answer: RequestOutcome | None) -> Request | None:
    try:
        return next(talk) if answer is None else talk.send(answer)
    except StopIteration:
        return None
