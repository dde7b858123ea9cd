"""The pages of visitors and teams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from evaluator.challenges.actions import withdraw
from evaluator.challenges.queries import statuses, view_submission
from evaluator.challenges.submitting import inspect_received, receive
from evaluator.errors import UnknownNameError, UserError
from evaluator.portal.accounts import account_of_token
from evaluator.portal.protection import address_of
from evaluator.portal.session import (
    challenge_of,
    check_csrf,
    read_form,
    redirect,
    require_account,
    sign_in,
)
from evaluator.portal.uploads import GIB
from evaluator.portal.views import now, render

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from evaluator.challenges.queries import SubmissionView
    from evaluator.challenges.queue import Claim
    from evaluator.portal.accounts import Account

#: longest text of the fields beside a file, bytes
FIELD_BYTES = 2**20


def overview(request: Request) -> Response:
    """The challenge: tracks, phases, rules."""
    definition = challenge_of(request).definition
    moment = now()
    phases = [(phase, phase.is_open(moment)) for phase in definition.phases]
    return render(request, "overview", definition.title, phases=phases)


def sign_in_page(request: Request) -> Response:
    """The form for a token."""
    return render(request, "sign_in", "Sign in", error="")


async def sign_in_form(request: Request) -> Response:
    """Begin a session with a token."""
    if not request.app.state.sign_in_limit.allows(address_of(request.scope)):
        raise HTTPException(429, "too many attempts; wait a minute")
    async with request.form(max_files=0, max_fields=5, max_part_size=5000) as form:
        token = str(form.get("token", ""))
    account = await run_in_threadpool(account_of_token, challenge_of(request), token)
    if account is None:
        error = "This token is not valid. Ask the organiser for another one."
        return render(request, "sign_in", "Sign in", status=401, error=error)
    sign_in(request, account)
    return redirect("/organiser" if account.is_organiser else "/submissions")


async def sign_out(request: Request) -> Response:
    """End the session."""
    await read_form(request)
    request.session.clear()
    return redirect("/")


def submissions(request: Request) -> Response:
    """The submissions of the team."""
    account = require_account(request)
    if account.is_organiser:
        return redirect("/organiser")
    rows = statuses(challenge_of(request), team=account.name)
    return render(request, "submissions", "Submissions", rows=rows[::-1])


def submission(request: Request) -> Response:
    """One submission: state, findings, log, scores, as far as they may be shown."""
    account = require_account(request)
    view = visible_submission(request, account)
    actions = request.app.state.actions if account.is_organiser else ()
    return render(
        request, "submission", f"Submission {view.status.id}", view=view, actions=actions
    )


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
    account = await run_in_threadpool(require_account, request)
    view = await run_in_threadpool(visible_submission, request, account)
    if fields.get("sure") != "yes":
        raise UserError("tick the box to withdraw the submission")
    identifier = view.status.id
    await run_in_threadpool(withdraw, challenge_of(request), identifier, team=view.status.team)
    return redirect(f"/submissions/{identifier}")


def submit_page(request: Request) -> Response:
    """The form to hand in an image."""
    require_account(request)
    return _submit_page(request, "", 200)


def _submit_page(request: Request, error: str, status: int) -> Response:
    most = challenge_of(request).definition.limits.archive_gib
    return render(request, "submit", "Hand in an image", status=status, error=error, most=most)


async def submit_form(request: Request) -> Response:
    """Hand in an archive as one request, or the reference of an image; works without JavaScript."""
    account = await run_in_threadpool(require_account, request)
    challenge = challenge_of(request)
    most = challenge.definition.limits.archive_gib * GIB
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > most + FIELD_BYTES:
        raise HTTPException(413, f"at most {most / GIB:g} GiB can be sent")
    async with request.form(max_files=1, max_fields=10) as form:
        await run_in_threadpool(check_csrf, request, form.get("csrf"))
        try:
            claim = await run_in_threadpool(_receive, request, account, form)
        except UserError as error:
            return await run_in_threadpool(_submit_page, request, str(error), 400)
    return submitted(request, claim)


def _receive(request: Request, account: Account, form: FormData) -> Claim:
    """Store what a form handed in."""
    challenge = challenge_of(request)
    file, reference = form.get("archive"), str(form.get("reference", "")).strip()
    track = str(form.get("track", ""))
    if isinstance(file, str) or file is None or not file.filename:
        if not reference:
            raise UserError("choose an archive, or write the reference of an image")
        require_reference(reference)
        return receive(challenge, reference, team=account.name, track=track)
    path = challenge.folder.incoming / f"form-{id(file)}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as target:
            while part := file.file.read(2**22):
                target.write(part)
        return receive(
            challenge, str(path), team=account.name, track=track, name=file.filename, move=True
        )
    finally:
        path.unlink(missing_ok=True)


def require_reference(reference: str) -> None:
    """Refuse a reference that could be a path of this machine.

    Raises:
        UserError: it could be.
    """
    first = reference.split("/", maxsplit=1)[0]
    if not first or set(first) <= {".", "~"} or reference.endswith((".tar", ".gz", ".zst")):
        raise UserError(f"{reference} is not the reference of an image, such as registry/name:tag")


def submitted(request: Request, claim: Claim) -> Response:
    """Lead to a submission; it is inspected after the answer was sent."""
    answer = redirect(f"/submissions/{claim.submission}")
    answer.background = BackgroundTask(inspect_received, challenge_of(request), claim)
    return answer
