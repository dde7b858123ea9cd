"""What becomes of a request, and whose fault it is when there is no answer."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import HostError
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.spec import Exit, Workspace
    from zoo_sdk.wire import Reply, Request

#: after so many starts in a row that gave no answer, a model is not started again
MOST_LOST_STARTS = 3
#: how long a model has to end by itself
END_SECONDS = 10.0
LEAST_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """What became of a request: the folder with the model's files, or one failure for all of its targets."""

    request: Request
    folder: Path | None
    reply: Reply | None
    failure: Failure | None
    #: from the question to the answer, by the evaluator's clock; of a batch's first request it includes the load
    seconds: float
    #: from the start of the container until it was ready, if this request had to wait for that
    load_seconds: float | None = None


def explain(ended: Exit) -> Failure:
    """The failure that an end of the process is."""
    if ended.out_of_memory:
        return Failure(
            status=Status.OUT_OF_MEMORY, detail="the container used up its memory and was killed"
        )
    last = ended.tail.strip().splitlines()[-5:]
    said = ("; it printed: " + " | ".join(last)) if last else "; it printed nothing"
    return Failure(
        status=Status.CRASHED, detail=f"the model ended with exit code {ended.code}{said}"[:2000]
    )


def own_output(workspace: Workspace) -> Path:
    """A new folder for what one container writes."""
    folder = workspace.output / secrets.token_hex(6)
    folder.mkdir(parents=True)
    return folder


def raise_if_disk_full(workspace: Workspace) -> None:
    """A model that fails on a full disk is not to blame: raises HostError."""
    free = shutil.disk_usage(workspace.output).free
    if free < LEAST_FREE_BYTES:
        raise HostError(
            f"only {free // 2**20} MiB are free at {workspace.output}; free some space and run again"
        )
