"""The executor of one machine: one worker thread for each GPU, or one without."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evaluator.containers.gpus import lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from evaluator.containers.gpus import Gpu
    from evaluator.evaluation.scan_task import ScanTask


class LocalExecutor:
    """See ``evaluator.evaluation.executors.Executor``."""

    def __init__(self, gpus: Sequence[Gpu], run_name: str) -> None:
        self._gpus, self._run_name = tuple(gpus), run_name

    def run(
        self, tasks: Sequence[ScanTask], work: Callable[[Iterator[ScanTask], str | None], None]
    ) -> None:
        """Each GPU's worker takes the next task when it is ready for one."""
        shared = SharedIterator(tasks)
        if len(self._gpus) < 2:
            self._work(shared, work, self._gpus[0] if self._gpus else None)
            return
        count = len(self._gpus)
        with ThreadPoolExecutor(max_workers=count, thread_name_prefix="gpu") as pool:
            futures = [pool.submit(self._work, shared, work, gpu) for gpu in self._gpus]
            for future in futures:
                future.result()

    def _work(
        self,
        tasks: Iterator[ScanTask],
        work: Callable[[Iterator[ScanTask], str | None], None],
        gpu: Gpu | None,
    ) -> None:
        with leased(gpu, self._run_name) as uuid:
            work(tasks, uuid)


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
