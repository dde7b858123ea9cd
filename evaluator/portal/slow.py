"""Connections that send nothing, or too slowly.

The server itself waits for a first request without an end, and the portal has a thousand
connections. So each gets a time for the lines of a request, and for its body.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Message, Receive

#: from the connection, or from the first byte of a further request, to the end of the headers,
#: seconds
HEADER_SECONDS = 20.0
#: for a whole form, and between two packets of an archive, seconds
BODY_SECONDS = 60.0


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request does not come."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its time."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Take bytes; they end the wait only if the headers are complete."""
        if self._timer is None and not self._is_answering():
            self._start()
        super().data_received(data)
        if self._is_answering():
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait."""
        self._stop()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start(self) -> None:
        self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimedBody:
    """The body of a request; one that comes too slowly ends as if the connection had ended."""

    def __init__(self, receive: Receive, *, is_form: bool) -> None:
        """Wrap what the server receives.

        Args:
            receive: of the application.
            is_form: the whole body has the time; otherwise each packet of it.
        """
        self._receive = receive
        self._is_form = is_form
        self._is_complete = False
        self._deadline: float | None = None

    async def __call__(self) -> Message:
        """The next message."""
        if self._is_complete:  # then the application waits for the end of the connection
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._deadline is None or not self._is_form:
            self._deadline = now + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._is_complete = not message.get("more_body", False)
        return message
