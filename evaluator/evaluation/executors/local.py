"""The executor of one machine: threads for the sessions on each GPU, or none."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from evaluator.containers.gpus import lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from evaluator.containers.gpus import Gpu
    from evaluator.evaluation.scan_task import ScanTask


class LocalExecutor:
    """See ``evaluator.evaluation.executors.Executor``."""

    def __init__(
        self,
        gpus: Sequence[Gpu],
        run_name: str,
        sessions: Sequence[int] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Nothing begins yet.

        Args:
            gpus: the GPUs of the run.
            run_name: the run that holds them.
            sessions: on each of the GPUs; by default one.
            stop: is set when a session fails or the user interrupts; the others then end.
        """
        self._gpus, self._run_name = tuple(gpus), run_name
        self._sessions = tuple(sessions or (1,) * len(self._gpus))
        self._stop = stop or threading.Event()

    def run(
        self, tasks: Sequence[ScanTask], work: Callable[[Iterator[ScanTask], str | None], None]
    ) -> None:
        """Each session takes the next task when it is ready for one."""
        shared = SharedIterator(tasks)
        if not self._gpus:
            work(shared, None)
            return
        each_at_once(
            [
                partial(self._work, shared, work, gpu, sessions)
                for gpu, sessions in zip(self._gpus, self._sessions, strict=True)
            ],
            self._stop,
        )

    def _work(
        self,
        tasks: Iterator[ScanTask],
        work: Callable[[Iterator[ScanTask], str | None], None],
        gpu: Gpu,
        sessions: int,
    ) -> None:
        """All sessions of one GPU, which the run holds until the last one ends."""
        with leased(gpu, self._run_name) as uuid:
            each_at_once([partial(work, tasks, uuid)] * sessions, self._stop)


def each_at_once(calls: Sequence[Callable[[], None]], stop: threading.Event) -> None:
    """Execute calls in threads, a single one in this thread; raises the first error.

    Args:
        calls: what is executed.
        stop: is set on an error and on Ctrl-C, since this thread then waits for the others.
    """
    if len(calls) == 1:
        calls[0]()
        return
    with ThreadPoolExecutor(max_workers=len(calls), thread_name_prefix="gpu") as pool:
        try:
            for future in [pool.submit(call) for call in calls]:
                future.result()
        except BaseException:
            stop.set()
            raise


class SharedIterator:
    """An iterator that several threads may take from."""

    def __init__(self, tasks: Iterable[ScanTask]) -> None:
        self._tasks, self._lock = iter(tasks), threading.Lock()

    def __iter__(self) -> Iterator[ScanTask]:
        """Itself."""
        return self

    def __next__(self) -> ScanTask:
        """The next task, for one thread only."""
        with self._lock:
            return next(self._tasks)


@contextmanager
def leased(gpu: Gpu | None, run_name: str) -> Iterator[str | None]:
    """The GPU's UUID, held for this run; None without a GPU."""
    if gpu is None:
        yield None
        return
    with lease(gpu.uuid, run_name):
        yield gpu.uuid
