"""Claims: which process works on which case of a run. They need no locks of the file system.

A claim is a file ``claims/<case>.<n>`` that holds the id of a process. It is made by a hard link,
which either one process makes or none, on network file systems too. The claim with the highest
``n`` counts, as long as its process lives (``evaluator.runs.processes``). A claim of a dead process
is taken over by making the next ``n``; nothing is removed, so two that take over cannot collide.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import HostError, write_fault
from evaluator.files import safe_name
from evaluator.runs.processes import Liveness

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Claims:
    """The claims of one process on the cases of a run."""

    run: Path
    #: id of the process
    process: str
    liveness: Liveness
    #: between two looks at a process of which it is not known whether it lives, s
    pause: Callable[[], None] = lambda: time.sleep(1.0)
    #: case -> number of this process's claim
    _held: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, case: str) -> str:
        """Claim a case.

        Returns:
            "mine", "alive" (a living process has it) or "unknown" (it is not known whether the
            process lives that has it).

        Raises:
            HostError: the run folder cannot be written.
        """
        with self._lock:
            if case in self._held:
                return "mine"
            number = 0
            while True:
                path = self._path(case, number)
                if self._link(path):
                    self._held[case] = number
                    return "mine"
                state = self.liveness.state(_holder(path))
                # another one may have taken it over before
                if state != "dead" and not self._path(case, number + 1).exists():
                    return state
                number += 1

    def require(self, case: str) -> None:
        """Check that nobody has taken over a case of this process.

        Raises:
            HostError: another process has, as this one was asleep for too long.
        """
        with self._lock:
            number = self._held.get(case)
        if number is None or self._path(case, number + 1).exists():
            raise HostError(
                f"case {case} was taken over by another process, as this one did not answer for "
                "a minute; run again to do what is left"
            )

    def wait_for(self, case: str) -> str:
        """As ``claim``, but it waits until it is known whether the process with the case lives."""
        while (state := self.claim(case)) == "unknown":
            self.pause()
        return state

    def _path(self, case: str, number: int) -> Path:
        return self.run / "claims" / f"{safe_name(case)}.{number}"

    def _link(self, path: Path) -> bool:
        """Make a claim; False if there is one of that name."""
        source = path.parent / f".{self.process}"
        try:
            if not source.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with source.open("w") as file:
                    file.write(self.process)
                    file.flush()
                    os.fsync(file.fileno())
            os.link(source, path)
        except FileExistsError:
            # the answer to a successful call may be lost on NFS, which then repeats the call
            return path.exists() and source.samefile(path)
        except OSError as error:
            raise write_fault(path, error) from error
        return True


def _holder(path: Path) -> str:
    """The process that a claim names; the claim's own name where it cannot be read."""
    try:
        return path.read_text().strip() or path.name
    except OSError:
        return path.name


def remove_claims(run: Path) -> None:
    """Remove the claims of a run that is complete."""
    folder = run / "claims"
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:  # another process has made one just now
        return
