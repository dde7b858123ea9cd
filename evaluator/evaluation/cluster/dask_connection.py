"""The connection to a scheduler of dask.distributed and its workers.

This module alone imports dask, which is an optional dependency (``umd-evaluator[dask]``).
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evaluator.errors import UserError
from evaluator.evaluation.cluster.shard_orders import ShardAnswer, run_shard

try:
    from distributed.client import Client, ClosedClientError
    from distributed.comm.addressing import get_address_host_port
    from distributed.core import Status
    from distributed.worker import get_worker
except ImportError as error:
    raise UserError(
        "--scheduler needs dask.distributed, which is not installed; install it on all machines "
        "with: pip install 'umd-evaluator[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evaluator.evaluation.cluster.shard_orders import ShardOrder

#: s until a scheduler that does not answer is believed lost
ANSWER_SECONDS = 10.0


class Promise(Protocol):
    """A shard that a worker has; dask calls it a future."""

    @property
    def status(self) -> str | None:
        """The word "pending", "finished", "error", "cancelled" or "lost"."""

    def result(self, timeout: float) -> ShardAnswer:
        """The answer of the worker."""

    def exception(self, timeout: float) -> BaseException:
        """Why there is none."""


class Lost(Exception):  # noqa: N818
    """The scheduler does not answer, or has forgotten what it was asked for."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of one scheduler, as long as the scheduler lives."""

    client: Client

    def offered(self) -> dict[str, Mapping[str, float]]:
        """Worker -> its resources, such as {"GPU": 2, "CPU": 1}. Raises Lost."""
        if self.client.status != "running":
            raise Lost("the connection is closed")
        try:
            info: Any = self.client.scheduler_info()
        except (OSError, TimeoutError) as error:
            raise Lost(str(error) or type(error).__name__) from error
        return {name: facts.get("resources", {}) for name, facts in info["workers"].items()}

    def submit(self, worker: str, name: str, order: ShardOrder, resource: str) -> Promise:
        """Send a shard to a worker; if that is lost, dask sends it to another one.

        Args:
            worker: address of the worker.
            name: what dask's dashboard shows.
            order: the shard.
            resource: of which the worker needs one.

        Raises:
            Lost: the scheduler is.
        """
        try:
            promise: Promise = self.client.submit(
                run_on_worker,
                order,
                key=f"{name} {time.monotonic()}",
                workers=[worker],
                allow_other_workers=True,
                resources={resource: 1},
                pure=False,
            )
        except ClosedClientError as error:  # since ``offered``
            raise Lost("the connection is closed") from error
        return promise

    def answer(self, promise: Promise) -> ShardAnswer | None:
        """How a shard ended; None: it did not yet. Raises Lost."""
        if promise.status == "pending":
            return None
        if promise.status in ("cancelled", "lost"):
            raise Lost("it has forgotten the shards")
        if promise.status == "error":
            failure = promise.exception(timeout=ANSWER_SECONDS)
            return ShardAnswer(
                status=8, host="dask", reason=f"{type(failure).__name__}: {failure}"[:1000]
            )
        try:
            answer = promise.result(timeout=ANSWER_SECONDS)
        except TimeoutError:
            return None  # the worker was lost with its answer; dask sends the shard to another one
        except (OSError, CancelledError) as error:  # since its status was read
            raise Lost(str(error) or type(error).__name__) from error
        return answer


def run_on_worker(order: ShardOrder) -> ShardAnswer:
    """Execute a shard on this worker of dask; it is given up when the worker closes."""
    worker = get_worker()
    running = (Status.running, Status.paused)
    return run_shard(order, lambda: worker.status not in running)


@contextmanager
def connected(scheduler: str) -> Iterator[Workers]:
    """The workers of a scheduler.

    Args:
        scheduler: its address, such as tcp://10.0.0.1:8786, or the file that it wrote.

    Raises:
        Lost: it does not answer.
        UserError: the file or the address is none of a scheduler.
    """
    # dask prints tracebacks for what is told here in one sentence
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(
            address_of(scheduler), timeout=ANSWER_SECONDS, set_as_default=False, name="umd"
        )
    except (OSError, TimeoutError) as error:
        raise Lost(str(error) or type(error).__name__) from error
    try:
        yield Workers(client)
    finally:
        with suppress(OSError, TimeoutError):
            client.close(timeout=ANSWER_SECONDS)


def address_of(scheduler: str) -> str:
    """The address of a scheduler that is named by its address or by its scheduler file.

    Raises:
        Lost: there is no such file (yet), or the scheduler has not written it yet.
        UserError: the file has no address, or the address is malformed.
    """
    if not scheduler.endswith(".json"):
        try:
            get_address_host_port(scheduler)
        except ValueError as error:
            raise UserError(
                f"--scheduler {scheduler}: {error}; write an address such as tcp://10.0.0.1:8786, "
                "or the .json file that the scheduler wrote"
            ) from error
        return scheduler
    path = Path(scheduler)
    try:
        text = path.read_text()
        if not text:
            raise Lost(f"file {path} is empty")
        address = json.loads(text)["address"]
    except FileNotFoundError:
        raise Lost(f"there is no file {path}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is no scheduler file of dask; write one with: "
            f"dask scheduler --scheduler-file {path}"
        ) from error
    return str(address)
