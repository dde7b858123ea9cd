"""The requests of an upload in parts; ``static/upload.js`` and other programs send them.

    POST   /uploads                   {"track", "name", "size", "fingerprint"}
                                      -> {"id", "offset", "size", "part"}
    PUT    /uploads/ID?offset=BYTES   a part of at most "part" bytes -> {"offset"}; 409 with
                                      {"offset"} if the file does not end there
    GET    /uploads/ID                -> {"id", "offset", "size", "part"}
    POST   /uploads/ID/finish         -> {"submission", "sha256"}; the same if it is sent again
    DELETE /uploads/ID

Answers are JSON; an error is {"error": a sentence}. A part may carry ``Content-Digest`` (RFC 9530,
sha-256); one that arrived changed is not stored.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from evaluator.errors import UserError
from evaluator.portal.sessions import challenge_of, require_program
from evaluator.portal.uploads import (
    PART_BYTES,
    append_part,
    begin_upload,
    cancel_upload,
    find_upload,
    finish_upload,
    offset_of,
)

if TYPE_CHECKING:
    from starlette.requests import Request

    from evaluator.portal.upload_files import Upload

#: of the first request, bytes
MOST_JSON = 10_000
#: how long one part may take, seconds
PART_SECONDS = 300.0
DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


async def begin(request: Request) -> Response:
    """Begin or continue an upload."""
    team = await _team(request)
    body = _json(await _body(request, MOST_JSON))
    track, name, size = (body.get(key) for key in ("track", "name", "size"))
    fingerprint = body.get("fingerprint", "")
    if not all(isinstance(text, str) for text in (track, name, fingerprint)):
        raise UserError("track, name and fingerprint must be texts")
    if type(size) is not int:
        raise UserError("size must be a number of bytes")

    def answer() -> Response:
        upload = begin_upload(
            challenge_of(request),
            team=team,
            track=str(track),
            name=str(name),
            size=size,
            fingerprint=fingerprint,
        )
        return _state(request, upload)

    return await run_in_threadpool(answer)


async def state(request: Request) -> Response:
    """Where the next part begins."""
    team = await _team(request)
    return await run_in_threadpool(lambda: _state(request, _upload(request, team)))


async def part(request: Request) -> Response:
    """Append a part."""
    team = await _team(request)
    upload = await run_in_threadpool(_upload, request, team)
    text = request.query_params.get("offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UserError("the offset must be a number of bytes")
    async with request.app.state.team_parts[team], request.app.state.parts:
        content = await _body(request, PART_BYTES)
        _check_digest(request, content)
        offset = await run_in_threadpool(
            append_part, challenge_of(request), upload, int(text), content
        )
    return JSONResponse({"offset": offset})


def _check_digest(request: Request, content: bytes) -> None:
    announced = request.headers.get("content-digest")
    if announced is None:
        return
    found = DIGEST.fullmatch(announced.strip())
    if found is None:
        raise UserError("the header Content-Digest must be sha-256=:BASE64:")
    if base64.b64decode(found[1]) != hashlib.sha256(content).digest():
        raise HTTPException(422, "the part was changed on its way; send it again")


async def finish(request: Request) -> Response:
    """Hand in the complete file."""
    team = await _team(request)
    challenge = challenge_of(request)

    def answer() -> Response:
        submission, claim = finish_upload(challenge, _upload(request, team))
        record = challenge.folder.submission(submission).record()
        inspection = BackgroundTask(request.app.state.inspect, claim) if claim else None
        body = {"submission": submission, "sha256": record.archive_sha256}
        return JSONResponse(body, background=inspection)

    return await run_in_threadpool(answer)


async def cancel(request: Request) -> Response:
    """Remove an unfinished upload."""
    team = await _team(request)
    challenge = challenge_of(request)
    await run_in_threadpool(lambda: cancel_upload(challenge, _upload(request, team)))
    return Response(status_code=204)


async def _team(request: Request) -> str:
    return (await run_in_threadpool(require_program, request)).name


def _upload(request: Request, team: str) -> Upload:
    return find_upload(challenge_of(request), request.path_params["id"], team=team)


def _state(request: Request, upload: Upload) -> Response:
    offset = offset_of(challenge_of(request), upload)
    body = {"id": upload.id, "offset": offset, "size": upload.size, "part": PART_BYTES}
    return JSONResponse(body)


async def _body(request: Request, most: int) -> bytes:
    """The body of a request; its announced length was checked before."""
    content = bytearray()
    try:
        async with asyncio.timeout(PART_SECONDS):
            async for block in request.stream():
                content += block
                if len(content) > most:
                    raise HTTPException(413, f"at most {most} bytes can be sent at once")
    except TimeoutError:
        raise HTTPException(408, "the part took too long; send it again") from None
    return bytes(content)


def _json(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise UserError("the request is not a JSON object")
    return body
