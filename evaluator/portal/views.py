"""Rendering of pages, and what all pages show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from evaluator.portal.session import account_of, challenge_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

#: state of a submission -> class of its label
STATE_CLASSES = {
    "scored": "same",
    "failed": "worse",
    "disqualified": "worse",
    "running": "open",
    "queued": "open",
    "checked": "open",
    "received": "open",
    "withdrawn": "plain",
}


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
    environment.filters["state_class"] = lambda state: STATE_CLASSES.get(state, "plain")
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
    account = account_of(request)
    links = [Link("/", "The challenge")]
    if (challenge_of(request).folder.path / "leaderboard" / "index.html").is_file():
        links.append(Link("/leaderboard/", "Leaderboard"))
    if account and account.is_organiser:
        links += [Link("/organiser", "Queue"), Link("/organiser/log", "Log")]
    elif account:
        links += [Link("/submissions", "Submissions"), Link("/submit", "Hand in")]
    else:
        links.append(Link("/sign-in", "Sign in"))
    text = _templates().get_template(f"{template}.html").render(
        title=title,
        definition=challenge_of(request).definition,
        account=account,
        csrf=request.session.get("csrf", ""),
        links=links,
        path=request.url.path,
        **context,
    )  # fmt: skip
    return HTMLResponse(text, status_code=status)


def now() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)
