"""Tasks in processes of their own, which end without a word when the import is interrupted."""

from __future__ import annotations

import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

from evaluator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Generator[Result, None, None]:
    """The result of each task, in order.

    Tasks that have not begun are dropped when the generator is closed.

    Args:
        function: of a module, as processes load it by its name.
        tasks: its arguments.
        processes: with fewer than two, this process does all tasks.

    Raises:
        HostError: a process was ended from outside.
    """
    if processes < 2:
        yield from map(function, tasks)
        return
    # a copy of this process would have its open files and threads
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        # Ctrl-C goes to all processes of a terminal; those that begin here inherit that they do
        # not see it, so the import itself ends, and they print nothing
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            results = pool.map(function, tasks)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield from results
    except BrokenProcessPool:
        raise HostError(
            "a process of the import was ended from outside, perhaps for lack of memory; the same "
            "command goes on where it stopped"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
