"""The requests of an upload in parts; ``static/upload.js`` and ``umd challenge upload`` send them.

    POST   /uploads                   {"track", "name", "size"} -> {"id", "offset", "size"}
    PUT    /uploads/ID?offset=BYTES   a part -> {"offset"}; 409 with {"offset"} at another place
    GET    /uploads/ID                -> {"offset", "size"}
    POST   /uploads/ID/finish         -> {"submission"}
    DELETE /uploads/ID

Answers are JSON; an error is {"error": a sentence}.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from evaluator.challenges.submitting import inspect_received
from evaluator.errors import HostError, UserError
from evaluator.portal.session import challenge_of, check_csrf, require_account
from evaluator.portal.uploads import (
    OffsetError,
    append_part,
    begin_upload,
    cancel_upload,
    find_upload,
    finish_upload,
    offset_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from evaluator.portal.uploads import Upload

#: of the first request, bytes
MOST_JSON = 10_000


def _with_json_errors(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer errors as JSON."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except OffsetError as error:
            return JSONResponse({"error": str(error), "offset": error.offset}, status_code=409)
        except HostError as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        except UserError as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return answer


@_with_json_errors
async def begin(request: Request) -> Response:
    """Begin or continue an upload."""
    account = await run_in_threadpool(_checked_account, request)
    body = await _json(request)
    track, name, size = (body.get(key) for key in ("track", "name", "size"))
    if not (isinstance(track, str) and isinstance(name, str) and type(size) is int):
        raise UserError("track and name must be texts, and size a number of bytes")
    challenge = challenge_of(request)
    upload = await run_in_threadpool(
        begin_upload, challenge, team=account, track=track, name=name, size=size
    )
    return await run_in_threadpool(_state, request, upload)


@_with_json_errors
async def state(request: Request) -> Response:
    """Where the next part begins."""
    account = await run_in_threadpool(_checked_account, request)
    upload = await run_in_threadpool(_upload, request, account)
    return await run_in_threadpool(_state, request, upload)


@_with_json_errors
async def part(request: Request) -> Response:
    """Append a part."""
    account = await run_in_threadpool(_checked_account, request)
    upload = await run_in_threadpool(_upload, request, account)
    text = request.query_params.get("offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UserError("the offset must be a number of bytes")
    offset = await append_part(challenge_of(request), upload, int(text), _blocks(request))
    return JSONResponse({"offset": offset})


@_with_json_errors
async def finish(request: Request) -> Response:
    """Hand in the complete file."""
    account = await run_in_threadpool(_checked_account, request)
    upload = await run_in_threadpool(_upload, request, account)
    challenge = challenge_of(request)
    claim = await run_in_threadpool(finish_upload, challenge, upload)
    inspection = BackgroundTask(inspect_received, challenge, claim)
    return JSONResponse({"submission": claim.submission}, background=inspection)


@_with_json_errors
async def cancel(request: Request) -> Response:
    """Remove an unfinished upload."""
    account = await run_in_threadpool(_checked_account, request)
    upload = await run_in_threadpool(_upload, request, account)
    await run_in_threadpool(cancel_upload, challenge_of(request), upload)
    return Response(status_code=204)


def _checked_account(request: Request) -> str:
    """The team's name, after the header that only this portal's pages can send."""
    account = require_account(request)
    check_csrf(request, request.headers.get("x-csrf-token"))
    return account.name


def _upload(request: Request, team: str) -> Upload:
    return find_upload(challenge_of(request), request.path_params["id"], team=team)


def _state(request: Request, upload: Upload) -> Response:
    offset = offset_of(challenge_of(request), upload)
    return JSONResponse({"id": upload.id, "offset": offset, "size": upload.size})


async def _json(request: Request) -> dict[str, Any]:
    text = b""
    async for block in request.stream():
        text += block
        if len(text) > MOST_JSON:
            raise HTTPException(413, "the request is too long")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UserError("the request is not a JSON object")
    return body


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    async for block in request.stream():
        yield block
