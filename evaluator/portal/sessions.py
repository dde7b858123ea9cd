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
    from starlette.responses import Response

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
    account: Account
    #: who said so, by OpenID Connect; empty: the account has a token
    provider: str = ""
    #: forms of this session send it back
    csrf: str
    #: seconds of this process's clock
    ends: float


class Sessions:
    """All sessions of a portal."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, account: Account, *, provider: str = "") -> Session:
        """Begin a session."""
        session = Session(
            id=secrets.token_urlsafe(32),
            account=account,
            provider=provider,
            csrf=secrets.token_urlsafe(24),
            ends=time.monotonic() + SESSION_SECONDS,
        )
        present, key = list(self._sessions.values()), account.sha256
        earlier = [entry.id for entry in present if entry.account.sha256 == key]
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
    if session is None:
        return None
    if session.provider:
        return session.account
    return account_of_hash(challenge_of(request), session.account.sha256)


async def begin_session(request: Request, account: Account, *, provider: str = "") -> Response:
    """Sign an account in; an earlier session of the same browser ends.

    Args:
        request: of the browser.
        account: who signs in.
        provider: see ``Session``.

    Raises:
        HTTPException: the account has signed in too often.
    """
    state = request.app.state
    if not state.sign_ins.allows(account.sha256):
        raise HTTPException(429, "you have signed in too often; wait a minute")
    facts: dict[str, object] = {"role": account.role}
    if provider:  # of a team's people, the organiser can tell which one
        facts |= {"provider": provider, "person": account.sha256[:16]}
    log = challenge_of(request).folder.log
    await run_in_threadpool(log.append, "signed in", actor=account.name, facts=facts)
    if earlier := session_of(request):
        state.sessions.end(earlier.id)
    session = state.sessions.begin(account, provider=provider)
    answer = redirect("/organiser" if account.is_organiser else "/submissions")
    answer.set_cookie(
        state.cookie,
        session.id,
        max_age=SESSION_SECONDS,
        httponly=True,
        secure=state.https,
        samesite="lax",
    )
    return answer


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
