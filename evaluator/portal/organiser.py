"""The organiser's pages: queue, workers, faults, decisions, log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from evaluator.challenges.actions import approve, disqualify, reinstate, rerun, rescore
from evaluator.challenges.event_log import verify_chain
from evaluator.challenges.queries import statuses, workers
from evaluator.challenges.states import STATES
from evaluator.errors import UnknownNameError, UserError
from evaluator.plain_text import clean_text
from evaluator.portal.sessions import challenge_of, read_form, redirect, require_organiser
from evaluator.portal.views import render

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from evaluator.challenges.states import State

#: lines of the log that the page shows
LOG_LINES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A decision of the organiser about one submission."""

    name: str
    title: str
    #: what the page says about it
    note: str
    #: states in which it is possible
    states: tuple[State, ...]
    function: Callable[..., Any]
    needs_reason: bool = True


ACTIONS = (
    Action(
        name="approve",
        title="Approve",
        note="The submission goes into the queue.",
        states=("checked",),
        function=approve,
        needs_reason=False,
    ),
    Action(
        name="rerun",
        title="Evaluate again",
        note="The image runs once more; earlier results are kept.",
        states=("scored", "failed"),
        function=rerun,
    ),
    Action(
        name="rescore",
        title="Score again",
        note="The stored masks are scored again, without a container; the earlier result is kept.",
        states=("scored",),
        function=rescore,
    ),
    Action(
        name="disqualify",
        title="Disqualify",
        note="The submission leaves the ranking. The team reads the reason.",
        states=("received", "checked", "queued", "running", "scored", "failed"),
        function=disqualify,
    ),
    Action(
        name="reinstate",
        title="Reinstate",
        note="The disqualification ends.",
        states=("disqualified",),
        function=reinstate,
    ),
)


def queue_page(request: Request) -> Response:
    """All submissions, by state, and the workers."""
    require_organiser(request)
    challenge = challenge_of(request)
    rows = statuses(challenge)
    counts = Counter(row.state for row in rows)
    host = [row for row in rows if row.state == "failed" and row.fault != "team"]
    chosen = request.query_params.get("state", "")
    if chosen not in STATES:
        chosen = ""
    shown = [row for row in rows if not chosen or row.state == chosen]
    return render(
        request,
        "queue",
        "Queue",
        rows=shown[::-1],
        counts=[(state, counts[state]) for state in STATES],
        chosen=chosen,
        faults=host,
        workers=workers(challenge),
    )


def log_page(request: Request) -> Response:
    """The newest lines of the log, and whether its chain is intact."""
    require_organiser(request)
    folder = challenge_of(request).folder
    check = verify_chain(folder.log_path)
    events = [] if check.broken_line else list(folder.log.events())[-LOG_LINES:]
    return render(request, "log", "Log", events=events[::-1], check=check)


async def action_form(request: Request) -> Response:
    """Do what the organiser decided about a submission."""
    fields = await read_form(request)
    account = await run_in_threadpool(require_organiser, request)
    chosen = {action.name: action for action in ACTIONS}.get(request.path_params["action"])
    if chosen is None:
        raise HTTPException(404, "there is no such action")
    identifier, arguments = request.path_params["id"], {"by": account.name}
    if chosen.needs_reason:
        reason = clean_text(fields.get("reason", "").strip())
        if not reason:
            raise UserError(f"{chosen.title}: write a reason")
        arguments["reason"] = reason
    try:
        await run_in_threadpool(chosen.function, challenge_of(request), identifier, **arguments)
    except UnknownNameError:
        raise HTTPException(404, "there is no such submission") from None
    return redirect(f"/submissions/{identifier}")


async def publish_form(request: Request) -> Response:
    """Write the leaderboard that everybody sees."""
    await read_form(request)
    account = await run_in_threadpool(require_organiser, request)
    await request.app.state.publish()
    log = challenge_of(request).folder.log
    facts = {"by": account.name}
    await run_in_threadpool(log.append, "published", actor="organiser", facts=facts)
    return redirect("/leaderboard/")


def result_file(request: Request) -> Response:
    """A signed result of a submission."""
    require_organiser(request)
    try:
        folder = challenge_of(request).folder.submission(request.path_params["id"])
    except UnknownNameError:
        raise HTTPException(404, "there is no such submission") from None
    paths = folder.results()
    if not paths:
        raise HTTPException(404, "there is no result")
    name = f"{folder.id}.result-{paths[-1].stem}.json"
    return FileResponse(paths[-1], filename=name, media_type="application/json")
