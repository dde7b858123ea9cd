"""Rendering of pages, and what all pages show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from evaluator.portal.publication import published_folder
from evaluator.portal.sessions import account_of, challenge_of, session_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

    from evaluator.challenges.opening import OpenChallenge
    from evaluator.portal.accounts import Account

#: state of a submission -> class of its label
STATE_CLASSES = {
    "scored": "same",
    "failed": "worse",
    "disqualified": "worse",
    "running": "open",
    "queued": "open",
    "checked": "open",
    "received": "open",
}
UNITS = ("bytes", "KiB", "MiB", "GiB")


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the navigation."""

    path: str
    title: str


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("evaluator.portal"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = utc
    environment.filters["size"] = size
    environment.filters["state_class"] = lambda state: STATE_CLASSES.get(state, "")
    return environment


def utc(value: float | datetime | str) -> str:
    """A time as a reader sees it.

    Args:
        value: seconds since 1970, a time with its zone, or ISO 8601.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size(value: float) -> str:
    """A number of bytes as a reader sees it."""
    for unit in UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} {UNITS[-1]}"


def render(
    request: Request, template: str, title: str, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """The answer with a page.

    Args:
        request: who asked.
        template: name of the file, without ``.html``.
        title: of the page.
        status: of HTTP.
        context: what the template shows.
    """
    challenge, session = challenge_of(request), session_of(request)
    account = account_of(request)
    template_file = _templates().get_template(f"{template}.html")
    text = template_file.render(
        title=title,
        definition=challenge.definition,
        account=account,
        csrf=session.csrf if session else "",
        links=_links(challenge, account),
        path=request.url.path,
        **context,
    )
    return HTMLResponse(text, status_code=status)


def _links(challenge: OpenChallenge, account: Account | None) -> list[Link]:
    links = [Link("/", "The challenge")]
    if (published_folder(challenge) / "index.html").is_file():
        links.append(Link("/leaderboard/", "Leaderboard"))
    if account is None:
        return [*links, Link("/sign-in", "Sign in")]
    if account.is_organiser:
        return [*links, Link("/organiser", "Queue"), Link("/organiser/log", "Log")]
    return [*links, Link("/submissions", "Submissions"), Link("/submit", "Hand in")]
