"""Files of a run folder that cannot be read: they are named, passed over, and set aside."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from evaluator.errors import DamagedFileError, write_fault
from evaluator.runs.json_types import read_typed
from evaluator.runs.records import CasePrompts, ScanRecord, ScanScores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    #: the file that a record belongs in
    Place = Callable[[ScanRecord], Path]

logger = logging.getLogger(__name__)

#: older unfinished files belong to killed processes, or to a process that predicts a scan of which
#: another process has written the record: it then fails, and nothing is lost
UNFINISHED_SECONDS = 60.0


def readable_record(path: Path, place: Place) -> ScanRecord | None:
    """The record in a file; None if it is damaged, or a copy of another scan's record."""
    try:
        record = read_typed(ScanRecord, path)
    except DamagedFileError as error:
        name_damaged(path, str(error))
        return None
    if place(record) != path:
        name_damaged(path, f"it holds the record of {record.case} {record.modality}")
        return None
    return record


def set_aside_damaged(folder: Path, place: Place) -> None:
    """Move damaged and stray records, scores and prompts to ``damaged/``.

    The run makes them anew. Prompts are simulated again from the same seeds. Prompts that can be
    read, but were changed, stay and are refused where they are used.

    Args:
        folder: the run folder.
        place: the file that a record belongs in.

    Raises:
        HostError: a file cannot be moved.
    """
    for path in sorted((folder / "records").glob("*/*.json")):
        if readable_record(path, place) is None:
            _set_aside(folder, path)
    others: tuple[tuple[str, type], ...] = (
        ("scores/*/*.json", ScanScores),
        ("prompts/*.json", CasePrompts),
    )
    for pattern, kind in others:
        for path in sorted(folder.glob(pattern)):
            try:
                read_typed(kind, path)
            except DamagedFileError:
                _set_aside(folder, path)


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Remove files that killed processes had not completed; those of the last minute stay.

    Args:
        folder: the run folder.
        names: of folders inside it.
    """
    latest = time.time() - UNFINISHED_SECONDS
    for name in names:
        for path in folder.glob(f"{name}/**/.*.part"):
            with suppress(OSError):  # another process removes them, too
                if path.stat().st_mtime < latest:
                    path.unlink()


@lru_cache(maxsize=1000)
def name_damaged(path: Path, reason: str) -> None:
    """Warn of a file that is passed over, once."""
    logger.warning("passed over: %s (%s)", path, reason)


def _set_aside(folder: Path, path: Path) -> None:
    target = folder / "damaged" / "-".join(path.relative_to(folder).parts)
    try:
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
    except OSError as error:
        raise write_fault(target, error) from error
    logger.warning("%s is damaged and was moved to %s", path, target)
