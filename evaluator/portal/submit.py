"""The form that hands in an image; it works without JavaScript."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from evaluator.challenges.quotas import submissions_left
from evaluator.challenges.submitting import receive
from evaluator.errors import HostError, UserError, write_fault
from evaluator.plain_text import clean_text
from evaluator.portal.protection import MOST_FORM_BYTES
from evaluator.portal.sessions import challenge_of, check_csrf, read_form, redirect, require_team
from evaluator.portal.uploads import (
    MOST_UPLOADS,
    cancel_upload,
    find_upload,
    offset_of,
    require_space,
    unfinished,
)
from evaluator.portal.views import render

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from evaluator.challenges.queue import Claim
    from evaluator.portal.accounts import Account

COPY_BYTES = 2**22


def submit_page(request: Request) -> Response:
    """The form."""
    return _page(request, "", 200)


def _page(request: Request, error: str, status: int) -> Response:
    challenge, team = challenge_of(request), require_team(request).name
    definition = challenge.definition
    closed, left = "", []
    try:
        for track in definition.tracks:
            today, in_phase = submissions_left(challenge, team=team, track=track.name)
            left.append((track, today, in_phase))
    except UserError as reason:  # no phase is open
        closed = str(reason)
    uploads = [(upload, offset_of(challenge, upload)) for upload in unfinished(challenge, team)]
    return render(
        request,
        "submit",
        "Hand in an image",
        status=status,
        error=error,
        closed=closed,
        left=left,
        uploads=uploads,
    )


async def submit_form(request: Request) -> Response:
    """Hand in an archive as one request, or the reference of an image."""
    account = await run_in_threadpool(require_team, request)
    length = int(request.headers.get("content-length", "0"))
    if length <= MOST_FORM_BYTES:
        return await _submit(request, account, length)
    forms = request.app.state.forms
    if forms[account.name] >= MOST_UPLOADS:
        raise HTTPException(429, "your team sends other archives now; wait for their end")
    forms[account.name] += 1
    try:
        return await _submit(request, account, length)
    finally:
        forms[account.name] -= 1


async def _submit(request: Request, account: Account, length: int) -> Response:
    folder = challenge_of(request).folder.incoming
    folder.mkdir(parents=True, exist_ok=True)
    # once in a temporary file and once in the folder
    await run_in_threadpool(require_space, folder, 2 * length)
    async with request.form(max_files=1, max_fields=10) as form:
        await run_in_threadpool(check_csrf, request, form.get("csrf"))
        try:
            claim = await run_in_threadpool(_receive, request, account, form)
        except HostError:
            raise
        except UserError as error:
            return await run_in_threadpool(_page, request, str(error), 400)
    return submitted(request, claim)


def _receive(request: Request, account: Account, form: FormData) -> Claim:
    """Store what a form handed in."""
    challenge = challenge_of(request)
    file, reference = form.get("archive"), str(form.get("reference", "")).strip()
    track = str(form.get("track", ""))
    if isinstance(file, str) or file is None or not file.filename:
        if not reference:
            raise UserError("choose an archive, or write the reference of an image")
        return receive(challenge, reference, team=account.name, track=track, is_reference=True)
    if reference:
        raise UserError("hand in an archive or a reference, not both")
    path = challenge.folder.incoming / f"form-{secrets.token_hex(16)}.tar"
    try:
        try:
            with path.open("xb") as target:
                while part := file.file.read(COPY_BYTES):
                    target.write(part)
        except OSError as error:
            raise write_fault(path, error) from error
        name = clean_text(file.filename, 200)
        return receive(challenge, str(path), team=account.name, track=track, name=name, link=True)
    finally:
        path.unlink(missing_ok=True)


def submitted(request: Request, claim: Claim) -> Response:
    """Lead to a submission; it is inspected after the answer was sent."""
    answer = redirect(f"/submissions/{claim.submission}")
    answer.background = BackgroundTask(request.app.state.inspect, claim)
    return answer


async def cancel_form(request: Request) -> Response:
    """Remove an unfinished upload."""
    await read_form(request)
    account = await run_in_threadpool(require_team, request)
    challenge = challenge_of(request)
    identifier = request.path_params["id"]
    upload = await run_in_threadpool(find_upload, challenge, identifier, team=account.name)
    await run_in_threadpool(cancel_upload, challenge, upload)
    return redirect("/submit")
