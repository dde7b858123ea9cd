"""What became of a request, and whose fault it is when there is no answer."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import HostError
from evaluator.types import Failure, Status
from zoo_sdk.gpu import UNUSABLE, UnusableGpu
from zoo_sdk.serve import GPU_UNUSABLE

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.spec import Exit, Workspace
    from evaluator.containers.requests import StagedRequest
    from zoo_sdk.wire import Reply

#: after so many starts in a row without an answer, a model is not started again
MAX_LOST_STARTS = 3
#: how long a model may take to end by itself
END_SECONDS = 10.0
#: with less free space, a failure is the disk's
MIN_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """What became of a request: the model's answer, or one failure for all of its targets."""

    request: StagedRequest
    #: output folder of the container that answered; None without an answer
    output: Path | None = None
    #: what the model reported
    reply: Reply | None = None
    failure: Failure | None = None
    #: from the request to its outcome, seconds, by the evaluator's clock; for the first request of
    #: a batch it includes the load
    seconds: float = 0.0
    #: from the start of the container until it was ready, seconds, if this request waited for it
    load_seconds: float | None = None


def explain_exit(ended: Exit) -> Failure:
    """The failure that an early end of the model's process is.

    Raises:
        HostError: the SDK refused to start because torch cannot use the GPU.
    """
    if ended.out_of_memory:
        return Failure(
            status=Status.OUT_OF_MEMORY,
            detail="the container used up its memory and was killed",
        )
    last = ended.tail.strip().splitlines()[-5:]
    if ended.code == GPU_UNUSABLE:
        for line in last:
            _, name, message = line.partition(f"{UnusableGpu.__name__}: ")
            raise_if_gpu_unusable(UNUSABLE if name else None, message)
    printed = ("; it printed: " + " | ".join(last)) if last else "; it printed nothing"
    return Failure(
        status=Status.CRASHED,
        detail=f"the model ended with exit code {ended.code}{printed}"[:2000],
    )


def raise_if_gpu_unusable(kind: object, message: object) -> None:
    """A GPU that torch cannot use is a fault of the machine, not of the model.

    Args:
        kind: kind of the error with which a model could not be set up.
        message: its message, with the reason.

    Raises:
        HostError: the kind says that the GPU is unusable.
    """
    if kind == UNUSABLE:
        raise HostError(f"{message}. Nothing was recorded for the waiting scans; run again")


def new_output(workspace: Workspace) -> Path:
    """A new folder for what one container writes."""
    folder = workspace.output / secrets.token_hex(6)
    folder.mkdir(parents=True)
    return folder


def raise_if_disk_full(workspace: Workspace) -> None:
    """A model that fails on a full disk is not to blame: raises HostError."""
    free = shutil.disk_usage(workspace.output).free
    if free < MIN_FREE_BYTES:
        raise HostError(
            f"only {free // 2**20} MiB are free at {workspace.output}; "
            "free some space and run again"
        )
