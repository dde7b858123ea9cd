"""A shard of a run as an order to another machine, and its execution there by ``umd run``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.evaluation.cluster import guarded_process
from evaluator.evaluation.cluster.command_lines import program
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.containers.gpus import Gpu

#: exit status of a shard that a closing worker gave up
WORKER_CLOSED = -1
#: exit statuses of ``umd run`` that say that the shard was done; 11: no mask, which is a result
DONE = (0, 11)
#: exit status of ``umd run`` that ``umd stop`` ended
STOPPED = 130
#: characters of the log's end that tell why a shard failed
_REASON = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOrder:
    """What a worker executes. A plain value that is sent to it."""

    #: arguments of umd, without the GPUs
    arguments: tuple[str, ...]
    #: variables that the worker takes over
    environment: dict[str, str]
    #: variables that count where the worker has none of that name
    defaults: dict[str, str]
    #: whether the model may use a GPU
    gpu: bool
    #: file in the shared folder that gets what umd prints
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardAnswer:
    """How a shard ended on a worker."""

    #: exit status of umd, or WORKER_CLOSED
    status: int
    #: name of the machine
    host: str
    #: the end of what umd printed, where the shard was not done
    reason: str = ""


def run_shard(order: ShardOrder, closing: Callable[[], bool] = lambda: False) -> ShardAnswer:
    """Execute a shard as a process of this machine.

    Args:
        order: the shard.
        closing: whether the worker ends; the process then ends in order, too.
    """
    host, log = os.uname().nodename, Path(order.log)
    if not log.parent.is_dir():
        reason = f"machine {host} does not see the folder {log.parent}; it needs the shared folder"
        return ShardAnswer(status=8, host=host, reason=reason)
    variables = order.defaults | dict(os.environ) | order.environment
    with gpu_of_this_worker(order) as gpus, log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [sys.executable, guarded_process.__file__, program(), *order.arguments, *gpus],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        closed = _wait(process, closing)
    if closed:
        return ShardAnswer(status=WORKER_CLOSED, host=host, reason=f"the worker on {host} closed")
    reason = "" if process.returncode in DONE else _end_of(log, start)
    return ShardAnswer(status=process.returncode, host=host, reason=reason)


def _wait(process: subprocess.Popen[bytes], closing: Callable[[], bool]) -> bool:
    """Wait for the end of a shard's process; True if it was given up as the worker closes."""
    assert process.stdin is not None
    while True:
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if closing() and not process.stdin.closed:
                process.stdin.close()
            continue
        closed = process.stdin.closed
        process.stdin.close()
        return closed


def _end_of(log: Path, start: int) -> str:
    """The end of what was printed since ``start``, as one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - _REASON))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"{log} cannot be read ({error.strerror})"
    return clean_text(" ".join(text.split()))


def _visible_gpus() -> tuple[Gpu, ...]:
    # imported here: it would take a second of a worker that has no GPU
    from evaluator.containers.gpus import find_gpus, restrict, visible_devices

    return restrict(find_gpus(), visible_devices())


_busy: Counter[str] = Counter()
_busy_lock = threading.Lock()


@contextmanager
def gpu_of_this_worker(order: ShardOrder) -> Iterator[list[str]]:
    """The option ``--gpus`` with the GPU of this machine that has the fewest shards.

    CUDA_VISIBLE_DEVICES of the worker restricts the GPUs. Where the machine shows none, umd says
    what that means for the model.
    """
    gpus = _visible_gpus() if order.gpu else ()
    if not gpus:
        yield ["--gpus", "all" if order.gpu else "none"]
        return
    with _busy_lock:
        chosen = min(gpus, key=lambda gpu: _busy[gpu.uuid]).uuid
        _busy[chosen] += 1
    try:
        yield ["--gpus", chosen]
    finally:
        with _busy_lock:
            _busy[chosen] -= 1
