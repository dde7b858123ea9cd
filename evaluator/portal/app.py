"""The portal as an ASGI application, and its server."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import evaluator.report
from evaluator.errors import HostError, UnknownNameError, UserError
from evaluator.portal import organiser, pages, transfer
from evaluator.portal.accounts import session_secret
from evaluator.portal.protection import Protection, RateLimit
from evaluator.portal.session import COOKIE, SESSION_SECONDS, SignInError, redirect
from evaluator.portal.views import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evaluator.challenges.opening import OpenChallenge

#: per address
REQUESTS_PER_MINUTE = 1200.0
SIGN_INS_PER_MINUTE = 10.0

ROUTES = (
    Route("/", pages.overview),
    Route("/sign-in", pages.sign_in_page),
    Route("/sign-in", pages.sign_in_form, methods=["POST"]),
    Route("/sign-out", pages.sign_out, methods=["POST"]),
    Route("/submissions", pages.submissions),
    Route("/submissions/{id}", pages.submission),
    Route("/submissions/{id}/withdraw", pages.withdraw_form, methods=["POST"]),
    Route("/submit", pages.submit_page),
    Route("/submit", pages.submit_form, methods=["POST"]),
    Route("/uploads", transfer.begin, methods=["POST"]),
    Route("/uploads/{id}", transfer.state),
    Route("/uploads/{id}", transfer.part, methods=["PUT"]),
    Route("/uploads/{id}", transfer.cancel, methods=["DELETE"]),
    Route("/uploads/{id}/finish", transfer.finish, methods=["POST"]),
    Route("/organiser", organiser.queue_page),
    Route("/organiser/log", organiser.log_page),
    Route("/organiser/{id}/{action}", organiser.action_form, methods=["POST"]),
)


def portal(challenge: OpenChallenge, *, https: bool) -> Starlette:
    """The application that serves a challenge.

    Args:
        challenge: what is served.
        https: readers reach it by HTTPS, so that cookies are sent by HTTPS only.
    """
    leaderboard = challenge.folder.path / "leaderboard"
    leaderboard.mkdir(parents=True, exist_ok=True)
    static = [Path(__file__).parent / "static", Path(evaluator.report.__file__).parent / "static"]
    app = Starlette(
        routes=[
            Route("/health", _health),
            Mount("/static", _Folders(static)),
            Mount("/leaderboard", StaticFiles(directory=leaderboard, html=True)),
            *ROUTES,
        ],
        middleware=[
            Middleware(Protection, https=https, per_minute=REQUESTS_PER_MINUTE),
            Middleware(
                SessionMiddleware,
                secret_key=session_secret(challenge),
                session_cookie=COOKIE,
                max_age=SESSION_SECONDS,
                same_site="lax",
                https_only=https,
            ),
        ],
        exception_handlers={
            SignInError: _sign_in,
            HTTPException: _http_error,
            HostError: _host_error,
            UnknownNameError: _user_error,
            UserError: _user_error,
        },
    )
    app.state.challenge = challenge
    app.state.sign_in_limit = RateLimit(SIGN_INS_PER_MINUTE)
    app.state.actions = organiser.ACTIONS
    return app


class _Folders(StaticFiles):
    """Files of several folders."""

    def __init__(self, folders: list[Path]) -> None:
        super().__init__(directory=folders[0])
        self.all_directories = list(folders)


def _health(_: Request) -> Response:
    """For monitors: the portal answers."""
    return PlainTextResponse("ok\n")


def _sign_in(request: Request, _: Exception) -> Response:
    if request.url.path.startswith("/uploads"):
        return JSONResponse({"error": "the session has ended; sign in again"}, status_code=401)
    return redirect("/sign-in")


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(request, error.detail, error.status_code)


def _user_error(request: Request, error: Exception) -> Response:
    return _problem(request, str(error), 400)


def _host_error(request: Request, error: Exception) -> Response:
    return _problem(request, str(error), 503)


def _problem(request: Request, sentence: str, status: int) -> Response:
    if request.url.path.startswith("/uploads"):
        return JSONResponse({"error": sentence}, status_code=status)
    return render(request, "problem", "This did not work", status=status, sentence=sentence)


def serve(challenge: OpenChallenge, *, host: str, port: int, https: bool, proxies: str) -> None:
    """Serve a challenge until the process is ended.

    Args:
        challenge: what is served.
        host: address to listen on.
        port: of this machine.
        https: readers reach the portal by HTTPS, through a proxy.
        proxies: addresses of proxies whose ``X-Forwarded-For`` is believed, with commas.
    """
    import uvicorn

    incoming = challenge.folder.incoming
    incoming.mkdir(parents=True, exist_ok=True)
    # a form's archive is stored beside the others, not in a small folder of temporary files
    tempfile.tempdir = str(incoming)
    uvicorn.run(
        portal(challenge, https=https),
        host=host,
        port=port,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        server_header=False,
        log_level="warning",
        access_log=False,
    )
