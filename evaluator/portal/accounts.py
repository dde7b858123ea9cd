"""Accounts of the portal: random tokens, of which only hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from evaluator.challenges.teams import BASELINE, TEAM
from evaluator.errors import UserError
from evaluator.locks import file_lock
from evaluator.runs.json_types import read_typed, write_typed

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.opening import OpenChallenge

Role = Literal["team", "organiser"]

#: a token begins with it, so that a scanner of secrets recognises it
PREFIX = "umd_"
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who may sign in with one token."""

    #: the team's name, or who the organiser is
    name: str
    role: Role
    #: of the token, in hex; a token has 256 random bits, so a fast hash protects it
    sha256: str
    #: ISO 8601, UTC
    created: str

    @property
    def is_organiser(self) -> bool:
        """Whether the account may see and do everything."""
        return self.role == "organiser"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountList:
    """``private/accounts.json``."""

    accounts: tuple[Account, ...] = ()


def create_token(challenge: OpenChallenge, name: str, role: Role) -> str:
    """Make a new token for a team or an organiser.

    Earlier tokens stay valid until they are revoked.

    Returns:
        the token, which is stored nowhere.

    Raises:
        UserError: the name is invalid, or the team does not take part.
        HostError: the list of accounts cannot be written.
    """
    if not TEAM.fullmatch(name):
        raise UserError(f"{name!r}: a name has letters, digits and ._- and at most 63 characters")
    if role == "team" and name.casefold() == BASELINE:
        raise UserError(f"{name} is the organiser's own submission, and no team")
    teams = challenge.definition.teams
    if role == "team" and teams and name not in teams:
        raise UserError(f"team {name} does not take part; teams are named in challenge.toml")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    account = Account(
        name=name,
        role=role,
        sha256=_hash(token),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = _path(challenge)
    with file_lock(path.with_suffix(".lock"), "umd"):
        accounts = read_accounts(challenge)
        write_typed(path, AccountList(accounts=(*accounts, account)))
        path.chmod(0o600)
    facts = {"name": name, "role": role}
    challenge.folder.log.append("token created", actor="organiser", facts=facts)
    return token


def revoke_tokens(challenge: OpenChallenge, name: str) -> int:
    """Make all tokens of a name invalid; returns their number.

    Raises:
        UserError: the name has none.
    """
    path = _path(challenge)
    with file_lock(path.with_suffix(".lock"), "umd"):
        accounts = read_accounts(challenge)
        kept = tuple(account for account in accounts if account.name != name)
        count = len(accounts) - len(kept)
        if count == 0:
            raise UserError(f"{name} has no token")
        write_typed(path, AccountList(accounts=kept))
        path.chmod(0o600)
    challenge.folder.log.append("token revoked", actor="organiser", facts={"name": name})
    return count


def read_accounts(challenge: OpenChallenge) -> tuple[Account, ...]:
    """All accounts, oldest first."""
    path = _path(challenge)
    return read_typed(AccountList, path).accounts if path.exists() else ()


def account_of_token(challenge: OpenChallenge, token: str) -> Account | None:
    """The account of a token; None if no valid one is like it."""
    return account_of_hash(challenge, _hash(token.strip()))


def account_of_hash(challenge: OpenChallenge, sha256: str) -> Account | None:
    """The account whose token has this hash; None if it was revoked."""
    for account in read_accounts(challenge):
        if secrets.compare_digest(account.sha256, sha256):
            return account
    return None


def _path(challenge: OpenChallenge) -> Path:
    return challenge.folder.path / "private" / "accounts.json"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
