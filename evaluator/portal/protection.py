"""What protects the portal: rate limits, security headers, refusal of forged requests."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: addresses that a limit remembers; the oldest are forgotten
MOST_ADDRESSES = 10_000
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    "; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
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
        left, seen = self._left.pop(address, (self.per_minute, moment))
        left = min(self.per_minute, left + (moment - seen) * self.per_minute / 60)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, moment)
        while len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return allowed


def is_forged(headers: Headers) -> bool:
    """Whether another site caused this request, by what browsers say of its origin.

    Browsers send ``Sec-Fetch-Site`` or ``Origin`` with every request that changes something. A
    request without both is not a browser's, so it carries no cookie of a visitor.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


class Protection:
    """Middleware: security headers, no forged requests, at most so many requests per minute."""

    def __init__(self, app: ASGIApp, *, https: bool, per_minute: float) -> None:
        self._app = app
        self._limit = RateLimit(per_minute)
        self._headers = dict(HEADERS)
        if https:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["method"] not in SAFE_METHODS and is_forged(Headers(scope=scope)):
            answer = PlainTextResponse("another site sent this request", status_code=403)
        elif not self._limit.allows(address_of(scope)):
            answer = PlainTextResponse(
                "too many requests; wait a minute", status_code=429, headers={"Retry-After": "60"}
            )
        else:
            await self._app(scope, receive, send_protected)
            return
        await answer(scope, receive, send_protected)


def address_of(scope: Scope) -> str:
    """The address of who sent a request."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
