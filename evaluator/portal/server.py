"""Serve the portal by HTTP."""

from __future__ import annotations

import socket
import tempfile
from typing import TYPE_CHECKING

import uvicorn

from evaluator.challenges.incoming import remove_leftovers
from evaluator.errors import HostError
from evaluator.portal.app import portal
from evaluator.portal.slow import TimedProtocol

if TYPE_CHECKING:
    from evaluator.challenges.opening import OpenChallenge

#: connections at the same time
MOST_CONNECTIONS = 1000
#: connections that wait to be accepted
BACKLOG = 512
#: how long requests may go on when the server is ended, seconds
GRACE_SECONDS = 10


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: address or name of this machine.
        port: 0: a free one.

    Raises:
        HostError: the address is unknown or in use, or the port needs more rights.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise HostError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose others with --host "
            "and --port"
        ) from None


def server(
    challenge: OpenChallenge, *, url: str = "", address: str = "", proxies: str = ""
) -> uvicorn.Server:
    """The server; its ``run`` serves a challenge on a socket of ``listen`` until it is ended.

    Args:
        challenge: what is served.
        url: the address that readers use; empty: that of this server.
        address: of this server.
        proxies: addresses of proxies whose ``X-Forwarded-For`` is believed, with commas.
    """
    incoming = challenge.folder.incoming
    incoming.mkdir(parents=True, exist_ok=True)
    for path in incoming.glob("form-*.tar"):
        path.unlink(missing_ok=True)  # a portal was killed that copied it
    remove_leftovers(challenge)
    # a form's archive is stored beside the others, not in a small folder of temporary files
    tempfile.tempdir = str(incoming)
    config = uvicorn.Config(
        portal(challenge, url=url, address=address),
        http=TimedProtocol,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        server_header=False,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return uvicorn.Server(config)
