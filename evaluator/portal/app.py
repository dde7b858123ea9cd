"""The portal as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from evaluator.errors import DamagedFileError, UserError
from evaluator.portal import openid_pages, organiser, pages, submit, transfer
from evaluator.portal.inspection import Inspector
from evaluator.portal.openid_state import CALLBACK, provider_state
from evaluator.portal.protection import Protection, RateLimit
from evaluator.portal.publication import Publisher, published_folder
from evaluator.portal.sessions import Sessions, SignInError, redirect
from evaluator.portal.uploads import GIB, MOST_PARTS, MOST_TEAM_PARTS, PART_BYTES, OffsetError
from evaluator.portal.views import render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim

logger = logging.getLogger(__name__)

#: per address
REQUESTS_PER_MINUTE = 6000.0
WRONG_TOKENS_PER_MINUTE = 10.0
#: per token; each is a line of the log
SIGN_INS_PER_MINUTE = 30.0
#: longest text of the fields beside a file, bytes
FIELD_BYTES = 2**20
COOKIE = "umd_session"

ROUTES = (
    Route("/", pages.overview),
    Route("/sign-in", pages.sign_in_page),
    Route("/sign-in", pages.sign_in_form, methods=["POST"]),
    Route("/sign-in/provider", openid_pages.provider_redirect),
    Route(CALLBACK, openid_pages.provider_answer),
    Route("/sign-out", pages.sign_out, methods=["POST"]),
    Route("/signed-out", openid_pages.signed_out),
    Route("/submissions", pages.submissions),
    Route("/submissions/{id}", pages.submission),
    Route("/submissions/{id}/result", organiser.result_file),
    Route("/submissions/{id}/withdraw", pages.withdraw_form, methods=["POST"]),
    Route("/submit", submit.submit_page),
    Route("/submit", submit.submit_form, methods=["POST"]),
    Route("/submit/{id}/cancel", submit.cancel_form, methods=["POST"]),
    Route("/uploads", transfer.begin, methods=["POST"]),
    Route("/uploads/{id}", transfer.state),
    Route("/uploads/{id}", transfer.part, methods=["PUT"]),
    Route("/uploads/{id}", transfer.cancel, methods=["DELETE"]),
    Route("/uploads/{id}/finish", transfer.finish, methods=["POST"]),
    Route("/organiser", organiser.queue_page),
    Route("/organiser/log", organiser.log_page),
    Route("/organiser/leaderboard", organiser.publish_form, methods=["POST"]),
    Route("/organiser/{id}/{action}", organiser.action_form, methods=["POST"]),
)


def portal(
    challenge: OpenChallenge,
    *,
    url: str = "",
    address: str = "",
    inspect: Callable[[Claim], Awaitable[None]] | None = None,
    publish: Callable[[], Awaitable[None]] | None = None,
) -> ASGIApp:
    """The application that serves a challenge.

    Args:
        challenge: what is served.
        url: the address that readers use, without a path; with https cookies are sent by HTTPS
            only. Empty: as the request says, for a server on this machine.
        address: where a server on this machine listens; a provider of OpenID Connect sends people
            back to it if there is no ``url``.
        inspect: inspects a submission that was received; None: in another process.
        publish: writes the leaderboard; None: in another process.
    """
    leaderboard = published_folder(challenge)
    leaderboard.mkdir(parents=True, exist_ok=True)
    app = Starlette(
        routes=[
            Route("/health", _health),
            Mount("/static/report", StaticFiles(packages=[("evaluator.report", "static")])),
            Mount("/static", StaticFiles(packages=[("evaluator.portal", "static")])),
            Mount("/leaderboard", StaticFiles(directory=leaderboard, html=True)),
            *ROUTES,
        ],
        exception_handlers={
            SignInError: _sign_in,
            HTTPException: _http_error,
            UserError: _user_error,
            ClientDisconnect: _broken_off,
            Exception: _bug,
        },
    )
    https = url.startswith("https:")
    app.state.challenge = challenge
    app.state.sessions = Sessions()
    app.state.https = https
    # browsers accept a cookie of this name only from this host and by HTTPS
    app.state.cookie = f"__Host-{COOKIE}" if https else COOKIE
    app.state.wrong_tokens = RateLimit(WRONG_TOKENS_PER_MINUTE)
    app.state.sign_ins = RateLimit(SIGN_INS_PER_MINUTE)
    app.state.attempts = RateLimit(openid_pages.ATTEMPTS_PER_MINUTE)
    app.state.openid = provider_state(challenge, url or address, https=https)
    app.state.parts = asyncio.Semaphore(MOST_PARTS)
    app.state.team_parts = defaultdict(lambda: asyncio.Semaphore(MOST_TEAM_PARTS))
    app.state.forms = Counter()
    app.state.actions = organiser.ACTIONS
    app.state.inspect = inspect or Inspector(challenge).inspect
    app.state.publish = publish or Publisher(challenge).publish
    most = int(challenge.definition.limits.archive_gib * GIB) + FIELD_BYTES
    return Protection(
        app,
        origin=url.rstrip("/"),
        per_minute=REQUESTS_PER_MINUTE,
        lengths={"POST /submit": most, "PUT /uploads": PART_BYTES},
    )


def _health(_: Request) -> Response:
    """For monitors: the portal answers."""
    return PlainTextResponse("ok\n")


def _broken_off(_: Request, __: Exception) -> Response:
    """A connection ended inside a request: nothing is stored, and nobody reads the answer."""
    return Response(status_code=400)


def _sign_in(request: Request, _: Exception) -> Response:
    if request.url.path.startswith("/uploads"):
        return JSONResponse({"error": "nobody is signed in; sign in again"}, status_code=401)
    return redirect("/sign-in")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _problem(request, error.detail, error.status_code)


async def _user_error(request: Request, error: Exception) -> Response:
    """Answer what the reader can mend; what only the organiser can is logged, not shown."""
    if isinstance(error, OffsetError):
        return JSONResponse({"error": str(error), "offset": error.offset}, status_code=409)
    is_readers = isinstance(error, UserError) and error.exit_code == UserError.exit_code
    if is_readers and not isinstance(error, DamagedFileError):
        return await _problem(request, str(error), 400)
    logger.error("%s %s: %s", request.method, request.url.path, error)
    sentence = "The portal's machine could not do this. Try later, or tell the organiser."
    return await _problem(request, sentence, 503)


async def _bug(request: Request, _: Exception) -> Response:
    """Answer after a bug, whose traceback the server logs."""
    return await _problem(request, "This is a fault of the portal. Tell the organiser.", 500)


async def _problem(request: Request, sentence: str, status: int) -> Response:
    if request.url.path.startswith("/uploads"):
        return JSONResponse({"error": sentence}, status_code=status)
    title = "There is no such page" if status == 404 else "This did not work"
    try:
        return await run_in_threadpool(
            render, request, "problem", title, status=status, sentence=sentence
        )
    except UserError:  # the accounts cannot be read, which every page does
        logger.exception("%s %s: the answer has no page", request.method, request.url.path)
        return PlainTextResponse(f"{sentence}\n", status_code=status)
