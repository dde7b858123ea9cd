"""Claims: which process works on which case of a run. They need no locks of the file system.

A claim is a file ``claims/<case>.<n>`` that holds the id of a process. It is made by a hard link,
which either one process makes or none, on network file systems too. Where there are no hard links
(exFAT), it is a new file that only one process can create. The claim with the highest
``n`` counts, as long as its process lives (``evaluator.runs.processes``). A claim of a dead process
is taken over by making the next ``n``; nothing is removed, so two that take over cannot collide.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import HostError, write_fault
from evaluator.files import safe_name
from evaluator.runs.processes import Liveness

if TYPE_CHECKING:
    from collections.abc import Callable

#: the file system has no hard links, or no more of one file
_NO_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
#: attempts at a claim while another process removes the claims of the complete run
_ATTEMPTS = 5


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
                if self._make(path):
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

    def _make(self, path: Path) -> bool:
        """Make a claim; False if there is one of that name. Raises HostError."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._link(path)
            except FileNotFoundError as error:  # see remove_claims
                if attempt == _ATTEMPTS:
                    raise write_fault(path, error) from error
            except OSError as error:
                raise write_fault(path, error) from error
        raise AssertionError

    def _link(self, path: Path) -> bool:
        source = path.parent / f".{self.process}"
        if not source.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(source, self.process, "w")
        try:
            os.link(source, path)
        except FileExistsError:
            # the answer to a successful call may be lost on NFS, which then repeats the call
            return source.samefile(path)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return self._create(path)
        return True

    def _create(self, path: Path) -> bool:
        try:
            _write(path, self.process, "x")
        except FileExistsError:
            return False
        return True


def _write(path: Path, text: str, mode: str) -> None:
    """Write a small file, or none: a claim without an id would be that of a dead process."""
    with path.open(mode) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _holder(path: Path) -> str:
    """The process that a claim names; the claim's own name where it cannot be read."""
    try:
        return path.read_text().strip() or path.name
    except (OSError, UnicodeDecodeError):
        return path.name


def remove_claims(run: Path) -> None:
    """Remove the claims of a run that is complete; what cannot be removed does no harm."""
    folder = run / "claims"
    # another process may remove them, too, or make one just now
    with suppress(OSError):
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
