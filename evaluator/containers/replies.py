"""Replies of models: each is checked and cleaned here before it is used or stored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.plain_text import clean_json, clean_text
from zoo_sdk.wire import TargetReply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from zoo_sdk.wire import Reply

#: targets and durations that are kept of one reply
MOST_NAMES = 1000
#: notes that take more are left out: each reply stays in memory and in the run's record
NOTES_BYTES = 2**16


def clean_reply(reply: Reply) -> Reply:
    """The reply without control characters, and with bounded texts, names and notes.

    The id stays as it is: it is compared with the request's, and not stored.
    """
    targets = list(reply.targets.items())[:MOST_NAMES]
    seconds = list(reply.seconds.items())[:MOST_NAMES]
    return replace(
        reply,
        targets={clean_text(name, 200): _clean_target(target) for name, target in targets},
        seconds={clean_text(name, 200): value for name, value in seconds},
        notes=_clean_notes(reply.notes),
    )


def _clean_target(target: TargetReply) -> TargetReply:
    return TargetReply(
        status=target.status,
        kind=None if target.kind is None else clean_text(target.kind, 200),
        message=None if target.message is None else clean_text(target.message),
    )


def _clean_notes(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    size = len(json.dumps(dict(notes)))
    if size > NOTES_BYTES:
        return {"left-out": f"notes of {size} bytes; at most {NOTES_BYTES} are kept"}
    cleaned: dict[str, Any] = clean_json(dict(notes))
    return cleaned
