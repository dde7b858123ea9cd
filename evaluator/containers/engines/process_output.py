"""What a model prints: bounded lines of a session, and a bounded log file with its last lines."""

from __future__ import annotations

import codecs
import contextlib
import queue
import re
import threading
from collections import deque
from pathlib import Path

from evaluator.plain_text import clean_text

LONGEST_LINE = 2**20
LOG_BYTES = 50 * 2**20
TAIL_LINES = 20
LINES_WAITING = 1000
BYTES_WAITING = 2**24


class Lines:
    """Lines cut from a stream of bytes: one thread writes, another one reads."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(LINES_WAITING)
        self._waiting_bytes = 0
        self._rest = b""
        self._ended = False

    def feed(self, part: bytes) -> None:
        """Take the next bytes.

        A line that is too long is cut, so no parser takes it for a reply.
        """
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            if self._waiting_bytes + len(line) > BYTES_WAITING:
                return
            try:
                self._queue.put_nowait(line)
            except queue.Full:
                return  # the model prints more lines than anybody reads
            self._waiting_bytes += len(line)

    def end(self) -> None:
        """No more will come."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._ended = True

    def next(self, timeout: float) -> str:
        """The next line; raises queue.Empty after ``timeout`` seconds, EOFError at the end."""
        line = (
            None
            if self._ended and self._queue.empty()
            else self._queue.get(timeout=max(timeout, 0.001))
        )
        if line is None:
            self._ended = True
            raise EOFError
        self._waiting_bytes -= len(line)
        return line.decode(errors="replace")


class LogFile:
    """Appends to a file until it is full, and remembers the last lines.

    Escape sequences and control characters are left out, as a reader prints the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._free = LOG_BYTES - (path.stat().st_size if path.exists() else 0)

    def write(self, part: bytes) -> None:
        """Keep what fits."""
        with self._lock:
            text = clean_text(self._decode(part), None)
            lines = text[-65536:].splitlines()
            self._tail.extend(line[:500] for line in lines if line.strip())
            written = text.encode()[: max(self._free, 0)]
            self._free -= len(written)
            if written:
                # a full disk is reported elsewhere; here it must not look like the model's end
                with contextlib.suppress(OSError), self._path.open("ab") as file:
                    file.write(written)

    def tail(self) -> str:
        """The last lines."""
        with self._lock:
            return "\n".join(self._tail)


def processes_beside(pid: int) -> list[int]:
    """The processes in the process namespace of a process of this machine; none if unknown."""
    processes = []
    try:
        namespace = Path(f"/proc/{pid}/ns/pid").readlink()
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if (folder / "ns/pid").readlink() == namespace:
                    processes.append(int(folder.name))
    except OSError:
        return []
    return processes


def processes_below(pid: int) -> list[int]:
    """A process of this machine and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            # the name in parentheses may hold spaces
            parent = int(text.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    processes, waiting = [], [pid]
    while waiting:
        process = waiting.pop()
        processes.append(process)
        waiting += children.get(process, [])
    return processes


def unlinked_bytes_of(processes: list[int], device: int) -> int:
    """Bytes of open files without a name on a device; each file counts once."""
    sizes: dict[int, int] = {}
    for pid in processes:
        try:
            handles = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for handle in handles:
            with contextlib.suppress(OSError):
                about = handle.stat()
                if about.st_nlink == 0 and about.st_dev == device:
                    sizes[about.st_ino] = about.st_blocks * 512
    return sum(sizes.values())


def peak_memory_of(pid: int) -> int | None:
    """Most bytes that a process of this machine has held; None if it cannot be read."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    match = re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE)
    return int(match[1]) * 1024 if match else None
