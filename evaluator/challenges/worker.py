"""A worker: takes submissions from the queue and evaluates them, some at the same time."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from evaluator.challenges import queue
from evaluator.challenges.evaluation import Evaluation
from evaluator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.challenges.opening import OpenChallenge

logger = logging.getLogger(__name__)

#: pause between two looks at a damaged log, seconds
LOG_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker works."""

    #: submissions at the same time
    slots: int = 1
    #: for each slot the GPUs of its containers: "all", "none", or names separated by commas
    gpus: Sequence[str] = ("all",)
    #: program that starts the containers, such as runsc; empty: the engine's default
    runtime: str = ""
    #: end after one submission
    once: bool = False
    #: end when no submission waits and none is worked on by anybody
    until_empty: bool = False
    #: pause between two looks at an empty queue, seconds
    pause: float = 2.0
    #: how long a worker may be silent, seconds
    lease: float = queue.LEASE_SECONDS


@dataclass(slots=True)
class Worker:
    """Takes submissions and evaluates them."""

    challenge: OpenChallenge
    options: WorkerOptions = field(default_factory=WorkerOptions)
    name: str = field(default_factory=lambda: worker_name())
    stop: threading.Event = field(default_factory=threading.Event)
    _next_sign: float = 0.0

    def run(self) -> int:
        """Work until the options or ``stop`` end it.

        Returns:
            how many submissions this worker ended.

        Raises:
            HostError: the database does not answer for minutes.
        """
        counts, errors = [0] * self.options.slots, list[BaseException]()

        def work(slot: int) -> None:
            try:
                counts[slot] = self._work(slot)
            except BaseException as error:
                errors.append(error)
                self.stop.set()

        threads = [
            threading.Thread(target=work, args=(slot,), name=f"slot {slot}")
            for slot in range(self.options.slots)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)
                    self._register()
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
            self._forget()
        if errors:
            raise errors[0]
        return sum(counts)

    def _forget(self) -> None:
        try:
            queue.remove_worker(self.challenge.database, self.name)
        except Exception:
            logger.debug("worker %s could not be removed from the list", self.name)

    def _work(self, slot: int) -> int:
        database, done = self.challenge.database, 0
        gpus = self.options.gpus[slot % len(self.options.gpus)]
        while not self.stop.is_set():
            if not self._log_can_be_read():
                self.stop.wait(LOG_PAUSE_SECONDS)
                continue
            claim = database.insist(
                lambda: queue.claim_next(database, f"{self.name}.{slot}", self.options.lease)
            )
            if claim is not None:
                done += Evaluation(
                    self.challenge,
                    claim,
                    gpus,
                    self.stop,
                    self.options.lease,
                    self.options.runtime,
                ).run()
                if self.options.once:
                    return done
                continue
            if self.options.once:
                return done
            if self.options.until_empty and database.insist(self._is_empty):
                return done
            self.stop.wait(self.options.pause)
        return done

    def _log_can_be_read(self) -> bool:
        """Whether the log's end is intact: nothing may happen that it cannot tell."""
        try:
            self.challenge.folder.log.head()
        except (UserError, OSError) as error:
            logger.warning("No submission is begun until the log can be read. %s", error)
            return False
        return True

    def _register(self) -> None:
        """Show that the worker lives, also while its slots are busy for hours."""
        if time.monotonic() < self._next_sign:
            return
        self._next_sign = time.monotonic() + self.options.lease / 4
        slots, gpus = self.options.slots, " ".join(self.options.gpus)
        try:
            queue.register_worker(self.challenge.database, self.name, slots, gpus)
        except DBAPIError:  # the slots need the database, too, and decide how long they wait
            logger.debug("worker %s could not be registered", self.name)

    def _is_empty(self) -> bool:
        return queue.waiting_count(self.challenge.database)[0] == 0


def worker_name() -> str:
    """A new name for a worker: of the machine, the process, and random."""
    return f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(2)}"
