"""Who is signed in.

A session is a random number in a cookie. What it stands for is kept in the memory of the portal, so
signing out ends it everywhere, and a restart ends all.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from evaluator.portal.accounts import Account, account_of_hash, account_of_token

if TYPE_CHECKING:
    from starlette.requests import Request

    from evaluator.challenges.opening import OpenChallenge

#: a session ends after this time, seconds
SESSION_SECONDS = 12 * 3600
#: sessions at the same time; the oldest are ended
MOST_SESSIONS = 10_000
#: of them of one token, so that nobody ends the sessions of others
MOST_TOKEN_SESSIONS = 100
BEARER = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in."""

    id: str
    #: of the account's token
    sha256: str
    #: forms of this session send it back
    csrf: str
    #: seconds of this process's clock
    ends: float


class Sessions:
    """All sessions of a portal."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, account: Account) -> Session:
        """Begin a session."""
        session = Session(
            id=secrets.token_urlsafe(32),
            sha256=account.sha256,
            csrf=secrets.token_urlsafe(24),
            ends=time.monotonic() + SESSION_SECONDS,
        )
        earlier = [s.id for s in list(self._sessions.values()) if s.sha256 == account.sha256]
        for identifier in earlier[: max(len(earlier) + 1 - MOST_TOKEN_SESSIONS, 0)]:
            self.end(identifier)
        self._sessions[session.id] = session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def find(self, identifier: str) -> Session | None:
        """The session with this id; None if it ended."""
        session = self._sessions.get(identifier)
        if session is None or time.monotonic() > session.ends:
            self.end(identifier)
            return None
        return session

    def end(self, identifier: str) -> None:
        """End a session."""
        self._sessions.pop(identifier, None)


class SignInError(Exception):
    """Nobody is signed in, and the page needs it."""


def challenge_of(request: Request) -> OpenChallenge:
    """The challenge that the portal serves."""
    return cast("OpenChallenge", request.app.state.challenge)


def session_of(request: Request) -> Session | None:
    """The session of a request; None without one."""
    sessions = cast("Sessions", request.app.state.sessions)
    return sessions.find(request.cookies.get(request.app.state.cookie, ""))


def account_of(request: Request) -> Account | None:
    """The account that is signed in; None after its token was revoked or the session ended."""
    session = session_of(request)
    return account_of_hash(challenge_of(request), session.sha256) if session else None


def require_account(request: Request) -> Account:
    """The account that is signed in.

    Raises:
        SignInError: nobody is.
    """
    account = account_of(request)
    if account is None:
        raise SignInError
    return account


def require_team(request: Request) -> Account:
    """The team that is signed in.

    Raises:
        SignInError: nobody is signed in.
        HTTPException: an organiser is.
    """
    account = require_account(request)
    if account.is_organiser:
        raise HTTPException(403, "organisers hand in with: umd challenge submit")
    return account


def require_organiser(request: Request) -> Account:
    """The organiser who is signed in.

    Raises:
        SignInError: nobody is signed in.
        HTTPException: a team is.
    """
    account = require_account(request)
    if not account.is_organiser:
        raise HTTPException(403, "this page is the organiser's")
    return account


def require_program(request: Request) -> Account:
    """The team whose program sends a request.

    The page's script proves itself by the session and the header ``X-CSRF-Token``; other programs
    by the token in the header ``Authorization``, which no browser sends by itself.

    Raises:
        SignInError: the token is not valid, or nobody is signed in.
        HTTPException: an organiser is signed in, or the header is missing.
    """
    words = request.headers.get("authorization", "")
    if not words.lower().startswith(BEARER):
        account = require_team(request)
        check_csrf(request, request.headers.get("x-csrf-token"))
        return account
    account_of_words = account_of_token(challenge_of(request), words[len(BEARER) :])
    if account_of_words is None:
        raise SignInError
    if account_of_words.is_organiser:
        raise HTTPException(403, "this is the token of an organiser, and of no team")
    return account_of_words


def check_csrf(request: Request, value: Any) -> None:
    """Refuse a form that this portal did not write for this session.

    Raises:
        HTTPException: the value is not the session's.
    """
    session = session_of(request)
    given = str(value or "").encode("utf-8", "surrogatepass")
    if session is None or not secrets.compare_digest(session.csrf.encode(), given):
        raise HTTPException(403, "this form is too old; reload the page and try again")


async def read_form(request: Request) -> dict[str, str]:
    """The text fields of a form of this portal, after ``check_csrf``."""
    async with request.form(max_files=0, max_fields=20, max_part_size=20_000) as form:
        fields = {name: str(value) for name, value in form.items()}
    await run_in_threadpool(check_csrf, request, fields.get("csrf"))
    return fields


def redirect(path: str) -> RedirectResponse:
    """An answer to a form that leads to a page."""
    return RedirectResponse(path, status_code=303)
