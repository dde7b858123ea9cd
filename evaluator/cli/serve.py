"""``umd serve``: the web portal of a challenge."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from evaluator.cli.challenge_options import opened
from evaluator.cli.options import PATH

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = ("127.0.0.1", "::1", "localhost")


@click.command(epilog="Example: umd serve my-challenge --url https://challenge.example.org")
@click.argument("challenge", type=PATH)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address of this machine to listen on."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one."
)
@click.option("--url", default="", help="The address that readers use, through a proxy with HTTPS.")
@click.option(
    "--proxy",
    "proxies",
    default="",
    help="Addresses of the proxy, with commas, whose X-Forwarded-For is believed (default: "
    "127.0.0.1 with --url).",
)
def serve(challenge: Path, host: str, port: int, url: str, proxies: str) -> None:
    """Serve the portal of CHALLENGE: teams hand in images, organisers decide.

    Teams and organisers sign in with tokens (umd challenge token create), or by OpenID Connect
    ([sign_in] of challenge.toml). The portal evaluates nothing; a worker does: umd challenge work.
    """
    from evaluator.portal.accounts import read_accounts
    from evaluator.portal.server import listen, server

    url = _origin(url)
    with opened(challenge) as present, listen(host, port) as socket:
        port = socket.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{port}"
        served = server(
            present, url=url, address=address, proxies=proxies or ("127.0.0.1" if url else "")
        )
        click.echo(f"portal of {present.definition.name}: {url or address}")
        if not read_accounts(present) and not present.definition.sign_in:
            click.echo("nobody can sign in: umd challenge token create TEAM", err=True)
        if host not in LOCAL and not url.startswith("https:"):
            click.echo(
                "warning: tokens and archives travel unencrypted; use a proxy with HTTPS and --url "
                "(docs/organising-a-challenge.md)",
                err=True,
            )
        if present.definition.engine == "local":
            click.echo("warning: engine local isolates nothing; for rehearsals only", err=True)
        served.run([socket])


def _origin(url: str) -> str:
    """The address as browsers send it in the header Origin: in lower case, without default port."""
    if not url:
        return ""
    try:
        parts = urlsplit(url.lower())
        default = {"http": 80, "https": 443}[parts.scheme]
        port = "" if parts.port in (None, default) else f":{parts.port}"
    except (KeyError, ValueError):
        raise _bad_url(url) from None
    host = parts.netloc.removesuffix(f":{parts.port}")
    if not parts.hostname or "@" in host or url.lower() != f"{parts.scheme}://{parts.netloc}":
        raise _bad_url(url)
    return f"{parts.scheme}://{host}{port}"


def _bad_url(url: str) -> click.UsageError:
    return click.UsageError(f"--url {url}: write https://NAME, without a path")
