"""The pages of visitors and teams."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from evaluator.challenges.actions import withdraw
from evaluator.challenges.queries import as_team_sees, statuses, view_submission
from evaluator.errors import UnknownNameError, UserError
from evaluator.portal.accounts import account_of_token
from evaluator.portal.protection import address_of
from evaluator.portal.sessions import (
    begin_session,
    challenge_of,
    read_form,
    redirect,
    require_account,
    require_team,
    session_of,
)
from evaluator.portal.views import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evaluator.challenges.queries import SubmissionView
    from evaluator.portal.accounts import Account

logger = logging.getLogger(__name__)


def overview(request: Request) -> Response:
    """The challenge: tracks, phases, rules."""
    definition = challenge_of(request).definition
    moment = datetime.now(UTC)
    phases = [(phase, phase.is_open(moment)) for phase in definition.phases]
    return render(request, "overview", definition.title, phases=phases)


def sign_in_page(request: Request) -> Response:
    """The form for a token."""
    return render(request, "sign_in", "Sign in", error="")


async def sign_in_form(request: Request) -> Response:
    """Begin a session with a token."""
    address = address_of(request.scope)
    limit = request.app.state.wrong_tokens
    if limit.is_used_up(address):
        raise HTTPException(429, "too many attempts; wait a minute")
    async with request.form(max_files=0, max_fields=5, max_part_size=5000) as form:
        token = str(form.get("token", ""))
    challenge = challenge_of(request)
    account = await run_in_threadpool(account_of_token, challenge, token)
    if account is None:
        limit.allows(address)
        logger.warning("an invalid token came from %s", address)
        error = "This token is not valid. Ask the organiser for another one."
        return await run_in_threadpool(
            render, request, "sign_in", "Sign in", status=401, error=error
        )
    return await begin_session(request, account)


async def sign_out(request: Request) -> Response:
    """End the session."""
    await read_form(request)
    session = session_of(request)
    if session:
        request.app.state.sessions.end(session.id)
    answer = redirect("/signed-out" if session and session.provider else "/")
    answer.delete_cookie(request.app.state.cookie, secure=request.app.state.https, httponly=True)
    return answer


def submissions(request: Request) -> Response:
    """The submissions of the team."""
    account = require_team(request)
    rows = [as_team_sees(row) for row in statuses(challenge_of(request), team=account.name)]
    return render(request, "submissions", "Submissions", rows=rows[::-1])


def submission(request: Request) -> Response:
    """One submission: state, findings, log, scores, as far as they may be shown."""
    account = require_account(request)
    view = visible_submission(request, account)
    actions = request.app.state.actions if account.is_organiser else ()
    possible = [action for action in actions if view.status.state in action.states]
    title = f"Submission {view.status.id}"
    return render(request, "submission", title, view=view, actions=possible)


def visible_submission(request: Request, account: Account) -> SubmissionView:
    """What an account may see of the submission of the address.

    Raises:
        HTTPException: there is none, or it is another team's; the answer is the same.
    """
    try:
        view = view_submission(
            challenge_of(request), request.path_params["id"], organiser=account.is_organiser
        )
    except UnknownNameError:
        raise HTTPException(404, "there is no such submission") from None
    if not account.is_organiser and view.status.team != account.name:
        raise HTTPException(404, "there is no such submission")
    return view


async def withdraw_form(request: Request) -> Response:
    """Take a submission back."""
    fields = await read_form(request)
    account = await run_in_threadpool(require_team, request)
    view = await run_in_threadpool(visible_submission, request, account)
    if fields.get("sure") != "yes":
        raise UserError("tick the box to withdraw the submission")
    identifier = view.status.id
    await run_in_threadpool(withdraw, challenge_of(request), identifier, team=account.name)
    return redirect(f"/submissions/{identifier}")
