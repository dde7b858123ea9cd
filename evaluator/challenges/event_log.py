"""The log of a challenge: one JSON object a line, each with the hash of the line before it.

A changed, removed or inserted line breaks the chain at the next one. The last line is protected by
the head that ``head`` returns: publish it, or compare it with an earlier copy of the log.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evaluator.errors import DamagedFileError, write_fault
from evaluator.locks import file_lock
from evaluator.plain_text import clean_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: the hash before the first line
START = "0" * 64
#: bytes that are read from the end to find the last line
TAIL_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the log."""

    #: from 1
    number: int
    #: ISO 8601, UTC
    time: str
    #: what happened, such as "received"
    event: str
    #: id of the submission; empty: the challenge
    submission: str = ""
    #: who did it: a team, "organiser", or a worker
    actor: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: hash of the line before
    before: str = START
    #: sha256 of the other fields, in hex
    hash: str = ""


class EventLog:
    """The log in one file. Several processes may append at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(f"{path.name}.lock")

    def append(
        self,
        event: str,
        *,
        submission: str = "",
        actor: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append a line, which is on the disk when this returns.

        Raises:
            DamagedFileError: the last line cannot be read; ``verify`` says which one is broken.
            HostError: the file cannot be written.
        """
        with file_lock(self._lock, "umd"):
            last = self._last(repair=True)
            body: dict[str, Any] = {
                "number": last.number + 1 if last else 1,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                "submission": submission,
                "actor": actor,
                "facts": clean_json(dict(facts or {})),
                "before": last.hash if last else START,
            }
            body["hash"] = hash_of(body)
            line = (json.dumps(body, allow_nan=False) + "\n").encode()
            try:
                with self._path.open("ab") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise write_fault(self._path, error) from error
        return Event(**body)

    def events(self) -> Iterator[Event]:
        """Every event, oldest first; an incomplete last line is passed over.

        Raises:
            DamagedFileError: a line cannot be read.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield self._parse(line, number)

    def head(self) -> str:
        """The hash of the last line, which stands for the whole log."""
        last = self._last()
        return last.hash if last else START

    def _last(self, *, repair: bool = False) -> Event | None:
        """The last complete line.

        Args:
            repair: cut off the rest of an interrupted write. The caller holds the lock: without it
                the rest may be a line that is being written.
        """
        if not self._path.exists():
            return None
        with self._path.open("r+b" if repair else "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(size - TAIL_BYTES, 0)
            while True:
                file.seek(begin)
                complete, newline, rest = file.read(size - begin).rpartition(b"\n")
                start = complete.rfind(b"\n")
                if begin == 0 or (newline and start >= 0):
                    break
                begin = max(begin - TAIL_BYTES, 0)
            if rest and repair:
                file.truncate(size - len(rest))
        if not newline:
            return None
        return self._parse(complete[start + 1 :], None)

    def _parse(self, line: bytes, number: int | None) -> Event:
        place = f"line {number}" if number else "the last line"
        try:
            return Event(**json.loads(line))
        except (ValueError, TypeError):
            raise DamagedFileError(
                f"{self._path}: {place} is damaged; umd challenge verify names the first such "
                "line. Restore the file from a copy"
            ) from None


def hash_of(body: Mapping[str, Any]) -> str:
    """The hash of a line from its other fields."""
    fields = {name: value for name, value in body.items() if name != "hash"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCheck:
    """What ``verify_chain`` found."""

    lines: int
    #: hash of the last intact line
    head: str
    #: number of the first broken line; None: all are intact
    broken_line: int | None = None
    #: what is wrong with it
    reason: str = ""


def verify_chain(path: Path, known_head: str | None = None) -> ChainCheck:
    """Check every line of a log.

    Args:
        path: the file.
        known_head: hash of a line at an earlier time, which must be in the log: else lines were cut
            off or replaced.
    """
    before, count, seen = START, 0, known_head in (None, START)
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    for number, line in enumerate(lines[:-1], 1):
        reason = _fault_of(line, number, before)
        if reason:
            return ChainCheck(lines=count, head=before, broken_line=number, reason=reason)
        before, count = json.loads(line)["hash"], number
        seen = seen or before == known_head
    if lines[-1]:
        reason = "it does not end with a newline: a write was interrupted, or the file was cut"
        return ChainCheck(lines=count, head=before, broken_line=count + 1, reason=reason)
    if not seen:
        reason = "the log lacks the line with the hash that was noted earlier"
        return ChainCheck(lines=count, head=before, broken_line=count + 1, reason=reason)
    return ChainCheck(lines=count, head=before)


def _fault_of(line: bytes, number: int, before: str) -> str:
    try:
        body = json.loads(line)
        Event(**body)
    except (ValueError, TypeError):
        return "it is not a line of a challenge's log"
    if body["hash"] != hash_of(body):
        return "its content was changed (the hash differs)"
    if body["before"] != before:
        return "a line before it was changed, removed or inserted"
    if body["number"] != number:
        return f"its number is {body['number']}"
    return ""
