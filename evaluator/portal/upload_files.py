"""The files of uploads that are not complete."""

from __future__ import annotations

import logging
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.challenges.incoming import UPLOADS, is_published
from evaluator.errors import UserError
from evaluator.runs.json_types import read_typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.challenges.opening import OpenChallenge

logger = logging.getLogger(__name__)

#: an upload that did not grow for so long is removed, seconds
EXPIRES_SECONDS = 3 * 24 * 3600.0
IDENTIFIER = re.compile(r"[0-9a-f]{32}")


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
    #: what the team's program recognises its file by; never interpreted
    fingerprint: str = ""
    #: id of the submission that the file becomes, written before it does; empty: nobody tried
    submission: str = ""


def is_handed_in(challenge: OpenChallenge, upload: Upload) -> bool:
    """Whether an upload is a submission, also if its process was killed before it knew."""
    return bool(upload.submission) and is_published(challenge, upload.submission)


def all_uploads(challenge: OpenChallenge) -> Iterator[Upload]:
    """All uploads whose file can be read."""
    for path in sorted(upload_folder(challenge).glob("*.json")):
        if upload := read_upload(challenge, path.stem):
            yield upload


def read_upload(challenge: OpenChallenge, identifier: str) -> Upload | None:
    """An upload; None if there is none, or if its file is damaged, which stops no other one."""
    path = upload_folder(challenge) / f"{identifier}.json"
    if not path.is_file():
        return None
    try:
        return read_typed(Upload, path)
    except UserError as error:
        logger.warning("an upload is passed over: %s", error)
        return None


def remove_expired(challenge: OpenChallenge) -> None:
    """Remove old uploads, also those whose other file is damaged or missing."""
    folder, changes = upload_folder(challenge), dict[str, float]()
    for path in [*folder.glob("*.json"), *folder.glob("*.tar")]:
        with suppress(FileNotFoundError):  # it was finished or cancelled meanwhile
            changes[path.stem] = max(changes.get(path.stem, 0.0), path.stat().st_mtime)
    for identifier, changed in changes.items():
        if time.time() - changed > EXPIRES_SECONDS:
            remove_upload(challenge, identifier)


def remove_upload(challenge: OpenChallenge, identifier: str) -> None:
    """Remove the files of an upload."""
    for suffix in ("json", "tar", "lock"):
        (upload_folder(challenge) / f"{identifier}.{suffix}").unlink(missing_ok=True)


def upload_folder(challenge: OpenChallenge) -> Path:
    """The folder of unfinished uploads."""
    return challenge.folder.incoming / UPLOADS


def data_path(challenge: OpenChallenge, identifier: str) -> Path:
    """The bytes of an upload."""
    return upload_folder(challenge) / f"{identifier}.tar"


def lock_path(challenge: OpenChallenge, identifier: str) -> Path:
    """The lock of an upload."""
    return upload_folder(challenge) / f"{identifier}.lock"
