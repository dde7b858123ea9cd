"""Sign in by OpenID Connect: to the provider, back from it, and out.

The browser that began a sign-in has a cookie, which the answer must come with. So nobody is signed
in as somebody else by a link.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from evaluator.errors import HostError
from evaluator.portal.accounts import Account
from evaluator.portal.openid_state import ATTEMPT_SECONDS
from evaluator.portal.protection import address_of
from evaluator.portal.sessions import begin_session, redirect
from evaluator.portal.views import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evaluator.challenges.sign_in_definition import SignIn
    from evaluator.portal.openid import Provider
    from evaluator.portal.openid_state import ProviderState

logger = logging.getLogger(__name__)

#: of one address
ATTEMPTS_PER_MINUTE = 30.0
BEGIN_AGAIN = "Begin again."


def _state(request: Request) -> ProviderState:
    state: ProviderState | None = request.app.state.openid
    if state is None:
        raise HTTPException(404, "this challenge has tokens only")
    return state


async def provider_redirect(request: Request) -> Response:
    """Send a person to the provider."""
    state = _state(request)
    if not request.app.state.attempts.allows(address_of(request.scope)):
        raise HTTPException(429, "too many attempts; wait a minute")
    identifier, attempt = state.attempts.begin()
    try:
        async with state.free:
            url = await run_in_threadpool(state.provider.authorization_url, attempt)
    except HostError as error:
        return await _silent(request, error)
    answer = redirect(url)
    answer.set_cookie(
        state.cookie,
        identifier,
        max_age=ATTEMPT_SECONDS,
        httponly=True,
        secure=request.app.state.https,
        samesite="lax",
    )
    return answer


async def provider_answer(request: Request) -> Response:
    """Begin the session of a person who comes back from the provider."""
    from evaluator.portal.openid import RefusedError

    state, query = _state(request), request.query_params
    cookie = request.cookies.get(state.cookie, "")
    attempt = state.attempts.take(cookie, query.get("state", ""))
    if attempt is None:
        sentence = "This sign-in was begun in another browser, used before, or too long ago."
        return await _refused(request, sentence)
    provider, name = state.provider, state.provider.definition.provider
    if "error" in query or not query.get("code"):
        declined = query.get("error") == "access_denied"
        sentence = f"{name} did not sign you in{': access was denied' if declined else ''}."
        return await _refused(request, sentence)
    async with state.free:
        try:
            await run_in_threadpool(_check_issuer, provider, query.get("iss"))
            claims = await run_in_threadpool(provider.claims, query["code"], attempt)
        except RefusedError as error:
            logger.warning("a sign-in by %s was refused: %s", name, error)
            sentence = f"The answer of {name} is not valid, so nobody is signed in."
            return await _refused(request, sentence)
        except HostError as error:
            return await _silent(request, error)
    try:
        account = account_of_claims(provider.definition, claims)
    except UnlistedError as error:
        return await _refused(request, str(error), 403, again="")
    return await begin_session(request, account, provider=name)


def _check_issuer(provider: Provider, issuer: str | None) -> None:
    """Refuse the answer of another provider (RFC 9207)."""
    from evaluator.portal.openid import RefusedError

    if issuer is None and not provider.sends_issuer():
        return
    if issuer != provider.definition.issuer:
        raise RefusedError("another provider answered")


async def _silent(request: Request, error: HostError) -> Response:
    name = _state(request).provider.definition.provider
    logger.error("%s: %s", name, error)
    sentence = f"{name} does not answer. Try later, or sign in with a token."
    return await _refused(request, sentence, 503, again="")


async def _refused(
    request: Request, sentence: str, status: int = 401, again: str = BEGIN_AGAIN
) -> Response:
    error = f"{sentence} {again}".strip()
    answer = await run_in_threadpool(
        render, request, "sign_in", "Sign in", status=status, error=error
    )
    cookie = _state(request).cookie
    answer.delete_cookie(cookie, secure=request.app.state.https, httponly=True)
    return answer


class UnlistedError(Exception):
    """A person is signed in at the provider and stands for no team; the message says who."""


def account_of_claims(definition: SignIn, claims: dict[str, Any]) -> Account:
    """The team or the organiser that a person stands for.

    Args:
        definition: who stands for whom.
        claims: of the provider.

    Raises:
        UnlistedError: nobody is listed for the person, or more than one.
    """
    name, ask = definition.claim, "Ask the organiser to add you."
    value = claims.get(name)
    values = value if isinstance(value, list) else [value]
    people = [entry for entry in values if isinstance(entry, str) and entry]
    if not people:
        raise UnlistedError(f"{definition.provider} did not tell who you are: no {name}. {ask}")
    if name == "email" and claims.get("email_verified") not in (True, "true"):
        raise UnlistedError(
            f"{definition.provider} has not verified the address {people[0][:255]}, so it proves "
            "nothing. Verify it there, and sign in again."
        )
    present = {definition.comparable(person) for person in people}
    listed = [
        (key, role)
        for role, table in (("team", definition.teams), ("organiser", definition.organisers))
        for key, entries in table.items()
        if present & {definition.comparable(entry) for entry in entries}
    ]
    if not listed:
        shown = ", ".join(people)[:255]
        raise UnlistedError(f"{shown} belongs to no team of this challenge. {ask}")
    if len(listed) > 1:
        names = " and ".join(key for key, _ in listed)
        raise UnlistedError(f"You stand for {names}. Ask the organiser to list you once.")
    (key, role), person = listed[0], f"{definition.issuer}\n{claims['sub']}"
    return Account(
        name=key,
        role="organiser" if role == "organiser" else "team",
        sha256=hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


async def signed_out(request: Request) -> Response:
    """Say that the session at the provider goes on, and where it ends."""
    state, url = _state(request), ""
    try:
        async with state.free:
            url = await run_in_threadpool(state.provider.end_session_url)
    except HostError as error:
        logger.warning("%s", error)
    return await run_in_threadpool(
        render,
        request,
        "signed_out",
        "Signed out",
        provider=state.provider.definition.provider,
        url=url,
    )
