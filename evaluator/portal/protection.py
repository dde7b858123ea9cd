"""Rate limits, security headers, refusal of forged and of endless requests."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from evaluator.portal.slow import TimedBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: addresses that a limit remembers; the oldest are forgotten
MOST_ADDRESSES = 10_000
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
#: of a form without a file, bytes
MOST_FORM_BYTES = 2**16
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"
    "; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
#: the leaderboard's figures are SVG with styles in their elements
LEADERBOARD_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class RateLimit:
    """A number of events per minute and address, refilled continuously (token bucket)."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str, now: float | None = None) -> bool:
        """Count an event; False if the address has none left.

        Args:
            address: who caused it.
            now: seconds of a clock that never goes back; None: this machine's.
        """
        moment = time.monotonic() if now is None else now
        left = self._count(address, moment)
        allowed = left >= 1
        self._left.pop(address, None)
        self._left[address] = (left - 1 if allowed else left, moment)
        while len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return allowed

    def is_used_up(self, address: str) -> bool:
        """Whether the address has no event left; counts none."""
        return self._count(address, time.monotonic()) < 1

    def _count(self, address: str, moment: float) -> float:
        left, seen = self._left.get(address, (self.per_minute, moment))
        return min(self.per_minute, left + (moment - seen) * self.per_minute / 60)


def is_forged(headers: Headers, origin: str) -> bool:
    """Whether another site caused this request, by what browsers say of its origin.

    Browsers send ``Sec-Fetch-Site`` or ``Origin`` with every request that changes something. A
    request without both is not a browser's, so it carries no cookie of a visitor.

    Args:
        headers: of the request.
        origin: of the portal, such as https://challenge.example.org; empty: by the header ``Host``.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    sender = headers.get("origin")
    if sender is None:
        return False
    return sender != origin if origin else urlsplit(sender).netloc != headers.get("host", "")


class Protection:
    """Middleware around the whole application.

    It adds security headers, refuses forged requests and bodies without or with a wrong length, and
    limits the requests per minute.
    """

    def __init__(
        self, app: ASGIApp, *, origin: str, per_minute: float, lengths: Mapping[str, int]
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            origin: see ``is_forged``.
            per_minute: requests of one address.
            lengths: longest bodies that are not forms, bytes, by method and first part of the path,
                such as ``{"PUT /uploads": 8388608}``.
        """
        self._app = app
        self._origin = origin
        self._limit = RateLimit(per_minute)
        self._lengths = lengths
        self._headers = dict(HEADERS)
        if origin.startswith("https:"):
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            body = TimedBody(receive, is_form=_is_form(scope))
            await self._app(scope, body, send_protected)
            return
        # what is left of the body is not read, so the connection cannot be used again
        headers = {"Connection": "close", "Retry-After": "60"}
        answer = PlainTextResponse(refusal[1], status_code=refusal[0], headers=headers)
        await answer(scope, receive, send_protected)

    def _add_headers(self, headers: MutableHeaders, path: str) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        public = path.startswith(("/static/", "/leaderboard/"))
        headers.setdefault("Cache-Control", "no-cache" if public else "no-store")
        policy = LEADERBOARD_POLICY if path.startswith("/leaderboard/") else POLICY
        headers.setdefault("Content-Security-Policy", policy)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence that refuse a request; None: it is not refused."""
        if not self._limit.allows(address_of(scope)):
            return 429, "too many requests; wait a minute\n"
        if scope["method"] in SAFE_METHODS:
            return None
        headers = Headers(scope=scope)
        if is_forged(headers, self._origin):
            return 403, "another site sent this request\n"
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            return 411, "the request must say its length\n"
        first = scope["path"].removeprefix("/").partition("/")[0]
        most = self._lengths.get(f"{scope['method']} /{first}", MOST_FORM_BYTES)
        if len(length) > 15 or int(length) > most:
            return 413, f"at most {most} bytes can be sent to this address\n"
        return None


def _is_form(scope: Scope) -> bool:
    """Whether the body is a short one; requests that change nothing need none."""
    length = Headers(scope=scope).get("content-length", "0")
    return not (length.isascii() and length.isdigit()) or int(length[:15]) <= MOST_FORM_BYTES


def address_of(scope: Scope) -> str:
    """The address of who sent a request."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
