"""Uploads of archives in parts, which can be broken off and continued.

A part is stored as a whole or not at all, and only where the file ends. So a part that is sent
twice, broken off or sent by two connections at once changes nothing. The file is read by nobody
before the upload is complete.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.challenges.quotas import require_left
from evaluator.challenges.submitting import new_identifier, receive
from evaluator.challenges.teams import require_team
from evaluator.errors import HostError, UserError, write_fault
from evaluator.locks import file_lock
from evaluator.plain_text import clean_text
from evaluator.portal.upload_files import (
    IDENTIFIER,
    Upload,
    all_uploads,
    data_path,
    is_handed_in,
    lock_path,
    read_upload,
    remove_expired,
    remove_upload,
    upload_folder,
)
from evaluator.runs.json_types import write_typed

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim

GIB = 2**30
#: longest part, bytes
PART_BYTES = 2**23
#: parts that are in memory at the same time
MOST_PARTS = 32
#: of them of one team, so that slow ones do not stop the others
MOST_TEAM_PARTS = 4
#: uploads that a team may have begun and not finished
MOST_UPLOADS = 2
#: space that uploads leave on the disk, bytes
RESERVE_BYTES = 2 * GIB


class OffsetError(UserError):
    """A part does not begin where the file ends."""

    def __init__(self, offset: int) -> None:
        """State the offset of the next part, bytes."""
        super().__init__(f"the next part begins at byte {offset}")
        self.offset = offset


def begin_upload(
    challenge: OpenChallenge, *, team: str, track: str, name: str, size: int, fingerprint: str = ""
) -> Upload:
    """Begin an upload, or find the team's unfinished one of the same file.

    Args:
        challenge: where it is handed in.
        team: who uploads.
        track: name of the track.
        name: of the file.
        size: of the file, bytes.
        fingerprint: differs between files of the same name and size.

    Raises:
        QuotaError: the team has no submission left.
        UserError: the team does not take part, the track is unknown, no phase is open, the file is
            too large, or the team has too many unfinished uploads.
        HostError: the upload cannot be stored, or the disk lacks space.
    """
    require_team(challenge, team, name)
    require_left(challenge, team=team, track=track)
    most = challenge.definition.limits.archive_gib
    if not 0 < size <= most * GIB:
        raise UserError(f"the archive has {size} bytes; 1 byte to {most:g} GiB are allowed")
    name, fingerprint = clean_text(name, 200), clean_text(fingerprint, 200)
    folder = upload_folder(challenge)
    with file_lock(folder / "lock", "umd"):
        remove_expired(challenge)
        present = unfinished(challenge, team)
        for upload in present:
            wanted = (name, size, track, fingerprint)
            if (upload.name, upload.size, upload.track, upload.fingerprint) == wanted:
                return upload
        if len(present) >= MOST_UPLOADS:
            raise UserError(
                f"team {team} has {MOST_UPLOADS} unfinished uploads; finish or cancel one"
            )
        require_space(folder, size)
        upload = Upload(
            id=secrets.token_hex(16),
            team=team,
            track=track,
            name=name,
            size=size,
            fingerprint=fingerprint,
        )
        try:
            data_path(challenge, upload.id).touch()
        except OSError as error:
            raise write_fault(folder, error) from error
        write_typed(folder / f"{upload.id}.json", upload)
    return upload


def require_space(folder: Path, size: int) -> None:
    """Refuse to store bytes that the disk has no room for.

    Raises:
        HostError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE_BYTES:
        raise HostError(f"{folder}: {free / GIB:.1f} GiB are free, {size / GIB:.1f} GiB are needed")


def find_upload(challenge: OpenChallenge, identifier: str, *, team: str) -> Upload:
    """An upload of a team; one that was handed in is found until it expires.

    Raises:
        UserError: there is none with this id.
    """
    upload = read_upload(challenge, identifier) if IDENTIFIER.fullmatch(identifier) else None
    if upload is not None and upload.team == team:
        return upload
    raise UserError("there is no such upload; begin again")


def unfinished(challenge: OpenChallenge, team: str) -> list[Upload]:
    """The unfinished uploads of a team."""
    return [
        upload
        for upload in all_uploads(challenge)
        if upload.team == team and data_path(challenge, upload.id).is_file()
    ]


def offset_of(challenge: OpenChallenge, upload: Upload) -> int:
    """Where the next part begins, bytes; the size if the file is complete and was taken away."""
    try:
        return data_path(challenge, upload.id).stat().st_size
    except FileNotFoundError:
        return upload.size


def append_part(challenge: OpenChallenge, upload: Upload, offset: int, part: bytes) -> int:
    """Append a part.

    Args:
        challenge: of the upload.
        upload: which one.
        offset: where the part begins, bytes.
        part: its bytes.

    Returns:
        where the next part begins, bytes.

    Raises:
        OffsetError: the part does not begin where the file ends.
        UserError: the file would be larger than announced, or was finished or cancelled.
        HostError: the disk is full; nothing of the part is stored.
    """
    if offset + len(part) > upload.size:
        raise UserError(f"the file is larger than the announced {upload.size} bytes")
    with file_lock(lock_path(challenge, upload.id), "umd"):
        find_upload(challenge, upload.id, team=upload.team)
        path = _present_data(challenge, upload)
        end = path.stat().st_size
        if offset != end:
            raise OffsetError(end)
        require_space(path.parent, len(part))
        _write(path, offset, part)
    return offset + len(part)


def _write(path: Path, offset: int, part: bytes) -> None:
    try:
        with path.open("r+b", buffering=0) as file:
            try:
                file.seek(offset)
                written = file.write(part)
                if written != len(part):
                    raise HostError(f"{path}: the disk took {written} of {len(part)} bytes")
                os.fdatasync(file.fileno())
            except BaseException:
                file.truncate(offset)
                raise
    except OSError as error:
        raise write_fault(path, error) from error


def finish_upload(challenge: OpenChallenge, upload: Upload) -> tuple[str, Claim | None]:
    """Hand in a complete upload, once however often this is called.

    The hash of a large archive takes minutes, and a proxy may end the request before. The team's
    program then sends it again, and must not use the quota twice.

    Returns:
        the id of the submission, and the claim of who inspects it
        (``evaluator.challenges.submitting.receive``); None: an earlier call has it.

    Raises:
        OffsetError: a part is missing.
        UserError: the submission is not taken; the upload stays.
    """
    with file_lock(lock_path(challenge, upload.id), "umd"):
        upload = find_upload(challenge, upload.id, team=upload.team)
        claim = None if is_handed_in(challenge, upload) else _hand_in(challenge, upload)
        with suppress(OSError):  # a file that cannot be removed expires
            data_path(challenge, upload.id).unlink(missing_ok=True)
    return (claim.submission if claim else upload.submission), claim


def _hand_in(challenge: OpenChallenge, upload: Upload) -> Claim:
    """Make an upload a submission, whose id is noted before: who is killed tries no second one."""
    path = _present_data(challenge, upload)
    size = path.stat().st_size
    if size != upload.size:
        raise OffsetError(size)
    identifier = new_identifier(datetime.now(UTC))
    noted = replace(upload, submission=identifier)
    write_typed(upload_folder(challenge) / f"{upload.id}.json", noted)
    return receive(
        challenge,
        str(path),
        team=upload.team,
        track=upload.track,
        name=upload.name,
        identifier=identifier,
        link=True,
    )


def cancel_upload(challenge: OpenChallenge, upload: Upload) -> None:
    """Remove an unfinished upload."""
    with file_lock(lock_path(challenge, upload.id), "umd"):
        remove_upload(challenge, upload.id)


def _present_data(challenge: OpenChallenge, upload: Upload) -> Path:
    """The file of an upload that was not handed in; raises UserError."""
    path = data_path(challenge, upload.id)
    if not path.is_file():
        raise UserError("this upload has no file any more; begin again")
    return path
