"""Connections that send nothing or too slowly are ended; slow ones that send go on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from evaluator.portal import slow
from evaluator.portal.accounts import create_token
from evaluator.portal.server import listen, server

TIME = 0.6
FORM = (
    b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
)


@pytest.fixture
def address(challenge, monkeypatch) -> Iterator[tuple[str, int]]:
    """Where a portal listens that has little patience."""
    create_token(challenge, "blue", "team")
    monkeypatch.setattr(slow, "HEADER_SECONDS", TIME)
    monkeypatch.setattr(slow, "BODY_SECONDS", TIME)
    monkeypatch.setattr("tempfile.tempdir", None)
    with listen("127.0.0.1", 0) as listening:
        served = server(challenge)
        thread = threading.Thread(target=served.run, args=([listening],))
        thread.start()
        yield listening.getsockname()
        served.should_exit = True
        thread.join()


def drip(connection: socket.socket, content: bytes) -> None:
    """Send a byte from time to time until the other side has closed."""
    try:
        for byte in content:
            connection.send(bytes([byte]))
            time.sleep(TIME / 20)
    except OSError:
        return


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nX: ", FORM])
def test_a_slow_request_is_ended(address, begin):
    with socket.create_connection(address, timeout=30) as connection:
        sender = threading.Thread(target=drip, args=(connection, b"x" * 200 if begin else b""))
        connection.send(begin)
        sender.start()
        begun, answer = time.monotonic(), b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        assert time.monotonic() - begun >= TIME / 2
        sender.join()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_the_second_request_of_a_connection_is_timed_too(address):
    with socket.create_connection(address, timeout=30) as connection:
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(TIME * 1.5)  # the time of the first request has passed
        assert connection.recv(65536).endswith(b"ok\n")
        connection.send(b"GET /health HTTP/1.1\r\nX: ")
        assert connection.recv(65536) == b""
