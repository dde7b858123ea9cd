"""Who is signed in. The cookie is signed, and names the token's hash and when it was made."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from evaluator.portal.accounts import Account, account_of_hash

if TYPE_CHECKING:
    from starlette.requests import Request

    from evaluator.challenges.opening import OpenChallenge

#: a session ends after this time, seconds
SESSION_SECONDS = 12 * 3600
COOKIE = "umd_session"


class SignInError(Exception):
    """Nobody is signed in, and the page needs it."""


def challenge_of(request: Request) -> OpenChallenge:
    """The challenge that the portal serves."""
    return cast("OpenChallenge", request.app.state.challenge)


def sign_in(request: Request, account: Account) -> None:
    """Begin a session."""
    request.session.clear()
    request.session.update(
        token=account.sha256, csrf=secrets.token_urlsafe(24), began=int(time.time())
    )


def account_of(request: Request) -> Account | None:
    """The account that is signed in; None after its token was revoked or the session ended."""
    session = request.session
    began = session.get("began", 0)
    if not isinstance(began, int) or time.time() - began > SESSION_SECONDS:
        return None
    return account_of_hash(challenge_of(request), str(session.get("token", "")))


def require_account(request: Request) -> Account:
    """The account that is signed in.

    Raises:
        SignInError: nobody is.
    """
    account = account_of(request)
    if account is None:
        raise SignInError
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


def check_csrf(request: Request, value: Any) -> None:
    """Refuse a form that this portal did not write for this session.

    Raises:
        HTTPException: the value is not the session's.
    """
    expected = str(request.session.get("csrf", ""))
    if not expected or not secrets.compare_digest(expected, str(value or "")):
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
