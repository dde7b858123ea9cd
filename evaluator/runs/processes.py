"""The processes that work on a run: one file for each, which its process rewrites while it lives.

A process is believed dead when its file says that it ended, when it was on this machine and is
gone, or when the file did not change for ``DEAD_SECONDS`` by the observer's clock. Clocks of
different machines are not compared.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluator.errors import HostError, StoppedError, UserError
from evaluator.files import write_bytes
from evaluator.runs.json_types import FORMAT, read_typed, write_typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: between two changes of a process's file, s
BEAT_SECONDS = 10.0
#: between two looks for a request to stop, s
LOOK_SECONDS = 1.0
#: a file that did not change for so long is that of a dead process, s
DEAD_SECONDS = 60.0

#: how a process is asked to stop: after the scans under way, or at once
StopMode = Literal["after scan", "now"]
ProcessState = Literal["running", "done", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One process that works, or worked, on a run."""

    id: str
    #: name of the machine
    host: str
    pid: int
    #: boot and process namespace, in which ``pid`` means this process; empty: unknown
    place: str = ""
    #: I/N; empty: all of the run
    shard: str = ""
    #: job and task of Slurm, such as 12_3; empty: none
    slurm: str = ""
    #: ISO 8601, UTC
    started: str
    #: increases while the process lives
    beat: int = 0
    state: ProcessState = "running"
    #: why it failed or was stopped
    reason: str = ""
    #: scans that have ended, and all scans of the process
    ended: int = 0
    scans: int = 0
    #: of the scans that have ended, those that were not done before
    answered: int = 0
    #: from the start of the process to the last change of the file
    seconds: float = 0.0
    format: int = FORMAT


def process_files(run: Path) -> list[Path]:
    """The files of all processes of a run."""
    return sorted((run / "processes").glob("*.json"))


def read_processes(run: Path) -> list[ProcessRecord]:
    """All processes of a run, oldest first; a damaged file is passed over."""
    records = []
    for path in process_files(run):
        try:
            records.append(read_typed(ProcessRecord, path))
        except UserError:
            continue
    return sorted(records, key=lambda record: record.started)


def this_place() -> str:
    """The boot and the process namespace of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


@dataclass(slots=True)
class Liveness:
    """What an observer has seen of other processes; it tells the dead from the living."""

    run: Path
    clock: Callable[[], float] = time.monotonic
    #: id -> the last change that was seen, and when
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    #: ids of processes that were seen to change
    _changed: set[str] = field(default_factory=set)

    def state(self, process: str) -> Literal["alive", "dead", "unknown"]:
        """Whether a process lives; unknown until it changed or did not for ``DEAD_SECONDS``."""
        try:
            record = read_typed(ProcessRecord, self.run / "processes" / f"{process}.json")
        except UserError:
            beat = -1  # not visible yet, or damaged
        else:
            if record.state != "running" or is_gone(record):
                return "dead"
            beat = record.beat
        last, since = self._seen.get(process, (beat, self.clock()))
        if last != beat:
            self._changed.add(process)
            last, since = beat, self.clock()
        self._seen[process] = (last, since)
        if self.clock() - since > DEAD_SECONDS:
            return "dead"
        return "alive" if process in self._changed else "unknown"


def is_gone(record: ProcessRecord) -> bool:
    """Whether it was a process of this machine and is none any more."""
    if not record.place or record.place != this_place():
        return False
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class RunProcess:
    """The present process at work on a run; a thread rewrites its file."""

    def __init__(self, run: Path, shard: str = "", scans: int = 0) -> None:
        self.path = run / "processes"
        self._lock, self._end = threading.Lock(), threading.Event()
        self._began = time.monotonic()
        self._stop: StopMode | None = None
        job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "")
        task = os.environ.get("SLURM_ARRAY_TASK_ID")
        self.record = ProcessRecord(
            id=uuid.uuid4().hex[:12],
            host=os.uname().nodename,
            pid=os.getpid(),
            place=this_place(),
            shard=shard,
            slurm=f"{job}_{task}" if job and task else job,
            started=datetime.now(UTC).isoformat(timespec="microseconds"),
            scans=scans,
        )

    @property
    def stopping(self) -> bool:
        """Whether someone asked the process to stop; it then begins no further scan."""
        return self._stop is not None

    def scan_ended(self, *, before: bool = False) -> None:
        """Count one more scan; the file tells of it with the next beat.

        ``before``: the scan was done before this process began.
        """
        with self._lock:
            record = self.record
            self.record = replace(
                record, ended=record.ended + 1, answered=record.answered + (not before)
            )

    def write(self, **changes: object) -> None:
        """Write the file with the next beat. Raises HostError."""
        with self._lock:
            facts = {"beat": self.record.beat + 1, "seconds": time.monotonic() - self._began}
            self.record = replace(self.record, **facts | changes)  # type: ignore[arg-type]
            write_typed(self.path / f"{self.record.id}.json", self.record)

    def beat(self) -> None:
        """Rewrite the file until ``end``; a full disk stops no run here."""
        last = time.monotonic()
        while not self._end.wait(min(LOOK_SECONDS, BEAT_SECONDS)):
            self._look_for_stop()
            if time.monotonic() - last < BEAT_SECONDS:
                continue
            last = time.monotonic()
            with suppress(HostError):
                self.write()

    def _look_for_stop(self) -> None:
        asked = stop_request(self.path.parent, self.record.id)
        if asked == self._stop or asked is None:
            return
        self._stop = asked
        if asked == "now":
            _interrupt_main_thread()

    def end(self) -> None:
        """Let ``beat`` return."""
        self._end.set()


def request_stop(run: Path, process: str, mode: StopMode) -> None:
    """Ask a process to stop, on whatever machine it is. Raises HostError."""
    write_bytes(run / "processes" / f"{process}.stop", mode.encode())


def stop_request(run: Path, process: str) -> StopMode | None:
    """How a process was asked to stop; None: it was not."""
    try:
        text = (run / "processes" / f"{process}.stop").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return "now" if text == "now" else "after scan"


def _interrupt_main_thread() -> None:
    """As Ctrl-C, also where SIGINT is ignored, as in the background of a script."""
    main = threading.main_thread().ident
    for number in (signal.SIGTERM, signal.SIGINT):
        if callable(signal.getsignal(number)) and main is not None:
            signal.pthread_kill(main, number)
            return


@contextmanager
def working_on(
    run: Path, shard: str = "", scans: int = 0, *, idle: bool = False
) -> Iterator[RunProcess]:
    """Tell others that this process works on a run, and in the end how it ended.

    Args:
        run: the run folder.
        shard: I/N; empty: all of the run.
        scans: all scans of the process.
        idle: the process has nothing to do, so that no file is written.

    Raises:
        HostError: the run folder cannot be written.
    """
    process = RunProcess(run, shard, scans)
    if idle:
        yield process
        return
    process.write()
    thread = threading.Thread(target=process.beat, name="heartbeat", daemon=True)
    thread.start()
    ending: dict[str, object] = {"state": "done"}
    try:
        yield process
    except (KeyboardInterrupt, StoppedError):
        by = "umd stop" if process.stopping else "a signal or Ctrl-C"
        ending = {"state": "stopped", "reason": f"stopped by {by}"}
        raise
    except BaseException as error:
        ending = {"state": "failed", "reason": f"{type(error).__name__}: {error}"[:1000]}
        raise
    finally:
        process.end()
        thread.join()
        # with a full disk, others see that the file does not change any more
        with suppress(HostError):
            process.write(**ending)
        # a folder that became read-only must not hide why the process ended
        with suppress(OSError):
            (process.path / f"{process.record.id}.stop").unlink(missing_ok=True)
