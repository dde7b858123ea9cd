"""Threads for the kernels, which release the interpreter's lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SLABS_PER_THREAD = 4


class WorkerPool:
    """Runs tasks in ``threads`` threads; with one thread, in the caller's."""

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"need at least one thread, not {threads}")
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(threads) if threads > 1 else None

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The results of all tasks, in their order; a task is the function's arguments."""
        if self._pool is None:
            return [function(*task) for task in tasks]
        waiting = [self._pool.submit(function, *task) for task in tasks]
        return [result.result() for result in waiting]

    def slabs(self, planes: int) -> list[tuple[int, int]]:
        """First and last + 1 plane of the slabs that a volume is divided into."""
        count = 1 if self.threads == 1 else min(planes, SLABS_PER_THREAD * self.threads)
        return [(planes * i // count, planes * (i + 1) // count) for i in range(count)]

    def close(self) -> None:
        """Wait for the threads to end."""
        if self._pool is not None:
            self._pool.shutdown()


@contextmanager
def worker_pool(threads: int) -> Iterator[WorkerPool]:
    """A pool for one call."""
    pool = WorkerPool(threads)
    try:
        yield pool
    finally:
        pool.close()
