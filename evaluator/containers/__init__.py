"""Ask a model: one request at a time in a session that stays alive, or many in a batch.

Whatever the model does ends in one ``RequestOutcome`` for each request, with the evaluator's own
clock beside it. A session that dies is started again for the next request; a batch that dies goes
on without the request that it died of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.containers.answers import (
    RequestOutcome,
    StartHistory,
    raise_if_disk_full,
    raise_if_removed,
)
from evaluator.containers.batch import answer_batch
from evaluator.containers.contracts import contract_of
from evaluator.containers.invoke_session import InvokeSession
from evaluator.containers.session import ModelSession

if TYPE_CHECKING:
    from evaluator.types import ModelCard

__all__ = [
    "ModelSession",
    "RequestOutcome",
    "StartHistory",
    "answer_batch",
    "is_server",
    "raise_if_disk_full",
    "raise_if_removed",
    "session_of",
]


def is_server(card: ModelCard) -> bool:
    """Whether a model's only way to be asked is a session over HTTP."""
    return contract_of(card).modes == ("invoke",)


def session_of(card: ModelCard) -> type[ModelSession]:
    """The kind of session that a model has."""
    return InvokeSession if is_server(card) else ModelSession
