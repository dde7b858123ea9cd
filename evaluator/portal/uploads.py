"""Uploads of archives in parts, which can be broken off and continued.

A part is appended only at the offset where the file ends, so a part that is sent twice or out of
order changes nothing.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.challenges.submitting import receive
from evaluator.errors import UserError, write_fault
from evaluator.locks import file_lock
from evaluator.plain_text import clean_text
from evaluator.runs.json_types import read_typed, write_typed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim

GIB = 2**30
#: uploads that a team may have begun and not finished
MOST_UPLOADS = 3
#: an upload that did not grow for so long is removed, seconds
EXPIRES_SECONDS = 7 * 24 * 3600.0
IDENTIFIER = re.compile(r"[0-9a-f]{32}")


class OffsetError(UserError):
    """A part does not begin where the file ends."""

    def __init__(self, offset: int) -> None:
        """State the offset of the next part, bytes."""
        super().__init__(f"the next part begins at byte {offset}")
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What the first request of an upload said."""

    id: str
    team: str
    track: str
    #: of the team's file
    name: str
    #: of the complete file, bytes
    size: int


def begin_upload(
    challenge: OpenChallenge, *, team: str, track: str, name: str, size: int
) -> Upload:
    """Begin an upload, or find the team's unfinished one of the same file.

    Args:
        challenge: where it is handed in.
        team: who uploads.
        track: name of the track.
        name: of the file.
        size: of the file, bytes.

    Raises:
        UserError: the track is unknown, no phase is open, the file is too large, or the team has
            too many unfinished uploads.
        HostError: the upload cannot be stored.
    """
    challenge.definition.track(track)
    challenge.definition.open_phase()
    most = challenge.definition.limits.archive_gib
    if not 0 < size <= most * GIB:
        raise UserError(f"the archive has {size} bytes; 1 byte to {most:g} GiB are allowed")
    _remove_expired(challenge)
    name = clean_text(name, 200)
    present = [upload for upload in unfinished(challenge) if upload.team == team]
    for upload in present:
        if (upload.name, upload.size, upload.track) == (name, size, track):
            return upload
    if len(present) >= MOST_UPLOADS:
        raise UserError(f"team {team} has {MOST_UPLOADS} unfinished uploads; finish or cancel one")
    upload = Upload(id=secrets.token_hex(16), team=team, track=track, name=name, size=size)
    folder = _folder(challenge)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _data(challenge, upload.id).touch()
    except OSError as error:
        raise write_fault(folder, error) from error
    write_typed(folder / f"{upload.id}.json", upload)
    return upload


def find_upload(challenge: OpenChallenge, identifier: str, *, team: str) -> Upload:
    """An unfinished upload of a team.

    Raises:
        UserError: there is none with this id.
    """
    path = _folder(challenge) / f"{identifier}.json"
    if IDENTIFIER.fullmatch(identifier) and path.is_file():
        upload = read_typed(Upload, path)
        if upload.team == team:
            return upload
    raise UserError("there is no such upload; begin again")


def unfinished(challenge: OpenChallenge) -> Iterator[Upload]:
    """All unfinished uploads."""
    for path in sorted(_folder(challenge).glob("*.json")):
        yield read_typed(Upload, path)


def offset_of(challenge: OpenChallenge, upload: Upload) -> int:
    """Where the next part begins, bytes."""
    return _data(challenge, upload.id).stat().st_size


async def append_part(
    challenge: OpenChallenge, upload: Upload, offset: int, part: AsyncIterator[bytes]
) -> int:
    """Append a part; what arrived before a broken connection stays.

    Args:
        challenge: of the upload.
        upload: which one.
        offset: where the part begins, bytes.
        part: its bytes.

    Returns:
        where the next part begins, bytes.

    Raises:
        OffsetError: the part does not begin where the file ends.
        UserError: the file would be larger than announced.
        HostError: the disk is full.
    """
    path = _data(challenge, upload.id)
    if offset != path.stat().st_size:
        raise OffsetError(path.stat().st_size)
    handle = os.open(path, os.O_WRONLY)
    try:
        async for block in part:
            if offset + len(block) > upload.size:
                raise UserError(f"the file is larger than the announced {upload.size} bytes")
            # at a place, so that two connections of one upload write the same bytes
            os.pwrite(handle, block, offset)
            offset += len(block)
    except OSError as error:
        raise write_fault(path, error) from error
    finally:
        os.close(handle)
    return offset


def finish_upload(challenge: OpenChallenge, upload: Upload) -> Claim:
    """Hand in a complete upload.

    Returns:
        the claim of who inspects the submission (``evaluator.challenges.submitting.receive``).

    Raises:
        OffsetError: a part is missing.
        UserError: the submission is not taken; the upload stays.
    """
    path = _data(challenge, upload.id)
    with file_lock(path.with_suffix(".lock"), "umd"):
        find_upload(challenge, upload.id, team=upload.team)
        size = offset_of(challenge, upload)
        if size != upload.size:
            raise OffsetError(size)
        claim = receive(
            challenge, str(path), team=upload.team, track=upload.track, name=upload.name, move=True
        )
        _remove(challenge, upload.id)
    return claim


def cancel_upload(challenge: OpenChallenge, upload: Upload) -> None:
    """Remove an unfinished upload."""
    _remove(challenge, upload.id)


def _remove_expired(challenge: OpenChallenge) -> None:
    for upload in unfinished(challenge):
        data = _data(challenge, upload.id)
        if not data.exists() or time.time() - data.stat().st_mtime > EXPIRES_SECONDS:
            _remove(challenge, upload.id)


def _remove(challenge: OpenChallenge, identifier: str) -> None:
    for suffix in ("json", "tar", "lock"):
        (_folder(challenge) / f"{identifier}.{suffix}").unlink(missing_ok=True)


def _folder(challenge: OpenChallenge) -> Path:
    return challenge.folder.incoming / "uploads"


def _data(challenge: OpenChallenge, identifier: str) -> Path:
    return _folder(challenge) / f"{identifier}.tar"
