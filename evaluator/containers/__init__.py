"""Ask a model: one request at a time in a session that stays alive, or many in a batch.

Whatever the model does ends in one ``RequestOutcome`` for each request, with the evaluator's own
clock beside it. A session that dies is started again for the next request; a batch that dies goes
on without the request that it died of.
"""

from evaluator.containers.answers import (
    RequestOutcome,
    StartHistory,
    raise_if_disk_full,
    raise_if_removed,
)
from evaluator.containers.batch import answer_batch
from evaluator.containers.session import ModelSession

__all__ = [
    "ModelSession",
    "RequestOutcome",
    "StartHistory",
    "answer_batch",
    "raise_if_disk_full",
    "raise_if_removed",
]
