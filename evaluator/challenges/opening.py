"""Open a challenge: its folder, definition and database. Make a new one."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.challenges.database import Database
from evaluator.challenges.definition import FILE, Challenge, read_definition
from evaluator.challenges.folder import ChallengeFolder
from evaluator.challenges.signing import create_keys
from evaluator.challenges.template import TEMPLATE
from evaluator.errors import UserError, write_fault
from evaluator.files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChallenge:
    """A challenge to work with. ``close`` ends its connections."""

    folder: ChallengeFolder
    definition: Challenge
    database: Database

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()


def open_challenge(path: Path, *, database: str | None = None) -> OpenChallenge:
    """Open a challenge; its database is created or brought up to date.

    Args:
        path: the challenge's folder.
        database: URL of the database instead of the definition's.

    Raises:
        UserError: the folder is no challenge.
        ManifestError: the definition is invalid.
        HostError: the database does not answer.
    """
    folder = ChallengeFolder(path.resolve())
    definition = read_definition(folder.path)
    url = database or os.environ.get("UMD_CHALLENGE_DATABASE") or definition.database
    connected = Database(url or f"sqlite:///{folder.database_path}")
    connected.upgrade()
    return OpenChallenge(folder=folder, definition=definition, database=connected)


def init_challenge(path: Path) -> ChallengeFolder:
    """Make the folder of a new challenge, with an example of a definition and with its secrets.

    Raises:
        UserError: the folder has a challenge already.
        HostError: the folder cannot be written.
    """
    folder = ChallengeFolder(path.resolve())
    file = folder.path / FILE
    if file.exists():
        raise UserError(f"{file} exists; a challenge is never overwritten")
    make_secrets(folder)
    write_bytes(file, TEMPLATE.encode())
    folder.log.append("created", actor="organiser")
    return folder


def make_secrets(folder: ChallengeFolder) -> None:
    """Make the secrets that the folder lacks."""
    try:
        folder.salt.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise write_fault(folder.salt, error) from error
    if not folder.salt.exists():
        _write_secret(folder.salt, secrets.token_hex(32).encode())
    if not folder.signing_key.exists():
        _, public = create_keys(folder.signing_key.parent)
        write_bytes(folder.public_key, public.read_bytes())


def _write_secret(path: Path, content: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except OSError as error:
        raise write_fault(path, error) from error
