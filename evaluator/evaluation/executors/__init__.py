"""Executors distribute the scan tasks of a run over workers.

``EXECUTORS`` names them. To add one, write a module with a class that has the method of
``Executor`` and one line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from evaluator.evaluation.executors.local import LocalExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evaluator.containers.gpus import Gpu
    from evaluator.evaluation.scan_task import ScanTask

    Work = Callable[[Iterator[ScanTask], str | None], None]

__all__ = ["EXECUTORS", "Executor", "LocalExecutor"]


class Executor(Protocol):
    """Distributes scan tasks over workers."""

    def run(self, tasks: Sequence[ScanTask], work: Work) -> None:
        """Finish all tasks.

        Args:
            tasks: what is to be done; tasks are independent of each other.
            work: finishes the tasks that it takes from an iterator, on the GPU with this UUID, or
                without a GPU. It is called once for each worker.

        Raises:
            HostError: a worker failed for the machine's fault; finished scans are kept.
        """


EXECUTORS: dict[str, Callable[[Sequence[Gpu], str], Executor]] = {"local": LocalExecutor}
"""Each takes the GPUs and the name of the run that holds them."""
