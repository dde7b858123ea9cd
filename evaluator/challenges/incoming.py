"""Files that are being received, in ``incoming/``, and what a killed process left of them.

The source of an archive stays until the submission is complete. So whoever is killed in between
loses nothing: the leftovers are removed, and the archive can be handed in again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete

from evaluator.challenges.quotas import refund
from evaluator.challenges.tables import SubmissionRow
from evaluator.errors import UserError, write_fault
from evaluator.locks import file_lock
from evaluator.runs.json_types import write_typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.records import SubmissionRecord

logger = logging.getLogger(__name__)

COPY_BYTES = 2**22
#: a folder whose receiver is unknown is removed after this time, seconds
UNKNOWN_SECONDS = 24 * 3600.0
UPLOADS = "uploads"


@contextmanager
def staging(challenge: OpenChallenge, submission: str) -> Iterator[Path]:
    """A folder for the files of a submission; what is still in it at the end is removed.

    A lock beside it tells other processes that somebody is at work.
    """
    staged = challenge.folder.incoming / submission
    lock = staged.with_suffix(".lock")
    with file_lock(lock, "umd"):
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            lock.unlink(missing_ok=True)


def remove_leftovers(challenge: OpenChallenge) -> int:
    """Remove what killed processes have received in part, and what they counted for it.

    Returns:
        how many there were.
    """
    folder, count = challenge.folder.incoming, 0
    for lock in list(folder.glob("*.lock")):
        with suppress(BlockingIOError), file_lock(lock, "umd", wait=False):
            remove_unpublished(challenge, lock.stem)
            lock.unlink(missing_ok=True)
            count += 1
    for staged in list(folder.glob("*/")):
        lock = staged.with_suffix(".lock")
        with suppress(OSError):
            age = time.time() - staged.stat().st_mtime
            if staged.name != UPLOADS and not lock.exists() and age > UNKNOWN_SECONDS:
                remove_unpublished(challenge, staged.name)
                count += 1
    return count


def remove_unpublished(challenge: OpenChallenge, submission: str) -> None:
    """Remove a submission whose files were never stored; one that is complete stays."""
    if not is_published(challenge, submission):
        drop(challenge, submission)
        logger.warning("submission %s was received in part only and is removed", submission)
    shutil.rmtree(challenge.folder.incoming / submission, ignore_errors=True)


def is_published(challenge: OpenChallenge, submission: str) -> bool:
    """Whether the files of a submission are in their place."""
    return (challenge.folder.submissions / submission / "submission.json").is_file()


def drop(challenge: OpenChallenge, submission: str) -> None:
    """Remove a submission from the database and from its team's quota."""

    def remove() -> None:
        with challenge.database.writing() as session:
            refund(session, submission)
            session.execute(delete(SubmissionRow).where(SubmissionRow.id == submission))

    challenge.database.insist(remove)


def store(
    staged: Path, record: SubmissionRecord, source: str, *, keep: bool, most: float
) -> SubmissionRecord:
    """Put the archive, if there is one, into a folder.

    Args:
        staged: the folder.
        record: what is handed in.
        source: the archive, or something else, of which nothing is stored.
        keep: the archive may change later, so it is copied; otherwise both are one file if the
            file system allows it.
        most: size of an archive, GiB.

    Returns:
        the record with the archive's hash.

    Raises:
        UserError: the archive is too large.
        HostError: it cannot be stored.
    """
    archive = Path(source).expanduser()
    try:
        staged.mkdir(parents=True)
        if archive.is_file():
            size = archive.stat().st_size
            if size > most * 2**30:
                raise UserError(
                    f"the archive has {size / 2**30:.1f} GiB, and {most:g} GiB are allowed"
                )
            sha256 = _take(archive, staged / "image.tar", keep=keep)
            name = record.source if record.source != source else archive.name
            record = replace(record, source=name, archive_sha256=sha256, archive_bytes=size)
    except OSError as error:
        raise write_fault(staged, error) from error
    return record


def write_record(staged: Path, record: SubmissionRecord) -> None:
    """Write what is handed in. Raises HostError."""
    try:
        staged.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_fault(staged, error) from error
    write_typed(staged / "submission.json", record)


def publish(staged: Path, target: Path) -> None:
    """Make a folder that is complete the submission's. Raises HostError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
    except OSError as error:
        raise write_fault(target, error) from error


def _take(archive: Path, target: Path, *, keep: bool) -> str:
    """Copy or link a file; returns its sha256."""
    digest = hashlib.sha256()
    if not keep:
        with suppress(OSError):
            os.link(archive, target)
    copies = not target.exists()
    with ExitStack() as stack:
        file = stack.enter_context((archive if copies else target).open("rb"))
        copy = stack.enter_context(target.open("wb")) if copies else None
        while part := file.read(COPY_BYTES):
            digest.update(part)
            if copy:
                copy.write(part)
        if copy:
            copy.flush()
            os.fsync(copy.fileno())
    return digest.hexdigest()
