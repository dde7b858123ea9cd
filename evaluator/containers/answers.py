"""What became of a request, and whose fault it is when there is no answer."""

from __future__ import annotations

import logging
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.containers.gpus import is_other_gpu
from evaluator.containers.safe_removal import keep_removable
from evaluator.errors import HostError
from evaluator.plain_text import clean_text
from evaluator.types import Failure, Status
from zoo_sdk.gpu import UNUSABLE, UnusableGpu
from zoo_sdk.serve import GPU_UNUSABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.containers.engines.spec import Exit, Workspace
    from evaluator.containers.requests import StagedRequest
    from zoo_sdk.wire import Reply

logger = logging.getLogger(__name__)

#: after so many failures in a row (starts that failed, requests that failed for good) without an
#: answer, a model is not started again
MAX_LOST_STARTS = 3
#: starts of a request that end by the host's fault before the run stops
MAX_HOST_FAULTS = 3
#: how long a model may take to end by itself
END_SECONDS = 10.0
#: exit codes after SIGKILL: of a container, of a process, unknown
KILLED = (137, -9, None)
#: with less free space, a failure is the disk's
MIN_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideFailure(Failure):
    """A failure that something other than the model caused: the request is sent again."""

    #: False: an exit by SIGKILL without a known sender; a model may end so itself
    certain: bool = True


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
    #: failures of earlier attempts at the same request, each in its container
    attempts: tuple[Failure, ...] = ()


class StartHistory:
    """The starts of one model in a run: when it is given up.

    Sessions, batches and the reproducibility check share it.
    """

    def __init__(self) -> None:
        self._lost = 0
        self._last = Failure(status=Status.CRASHED)
        #: GPUs (None: without one) with which the engine's view of the folders was checked
        self.checked_gpus: set[str | None] = set()

    @property
    def given_up(self) -> Failure | None:
        """Why the model is not started again; None if it may be."""
        if self._lost < MAX_LOST_STARTS:
            return None
        detail = (
            f"not started again after {MAX_LOST_STARTS} failures in a row without an answer; "
            f"the last: {self._last.detail}"
        )
        return Failure(status=self._last.status, detail=detail)

    def answered(self) -> None:
        """A container answered a request."""
        self._lost = 0

    def lost(self, failure: Failure) -> None:
        """A container ended before it was ready, or a request failed for good."""
        if isinstance(failure, OutsideFailure):
            return
        self._lost, self._last = self._lost + 1, failure
        if self.given_up:
            logger.warning("the model is given up: %s", self.given_up.detail)


def is_asked_again(failure: Failure, attempts: Sequence[Failure]) -> bool:
    """Whether a request that failed is sent again, in a new container.

    A crash is believed when it happens twice. A failure from outside is repeated
    ``MAX_HOST_FAULTS`` times.

    Args:
        failure: of the last attempt.
        attempts: failures of the attempts before it.

    Raises:
        HostError: every attempt was ended from outside.
    """
    if isinstance(failure, OutsideFailure):
        outside = [entry for entry in (*attempts, failure) if isinstance(entry, OutsideFailure)]
        if len(outside) < MAX_HOST_FAULTS:
            return True
        if failure.certain:
            raise HostError(
                f"{failure.detail}, {len(outside)} times for one request; it is not the model's "
                "fault and is not recorded. Find out who does it, and run again"
            )
        return False
    return failure.status == Status.CRASHED and not any(
        entry.status == Status.CRASHED for entry in attempts
    )


def explain_exit(ended: Exit) -> Failure:
    """The failure that an early end of the model's process is.

    Raises:
        HostError: the SDK refused to start because torch cannot use the GPU.
    """
    if ended.outside:
        return OutsideFailure(
            status=Status.CRASHED, detail=f"the model's container was {ended.outside} from outside"
        )
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
    detail = f"the model ended with exit code {ended.code}{printed}"[:2000]
    if ended.code in KILLED:
        return OutsideFailure(status=Status.CRASHED, detail=detail, certain=False)
    return Failure(status=Status.CRASHED, detail=detail)


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


def raise_if_other_gpu(expected: str | None, reported: object) -> None:
    """Compare the GPU that a session reports with the one that its container was given.

    Args:
        expected: UUID; None: no GPU was given.
        reported: the field ``gpu`` of the session's first line; models need not write it.

    Raises:
        HostError: the model computes on another GPU, which may belong to another run.
    """
    if expected is None or not isinstance(reported, dict):
        return
    uuid, name = (clean_text(str(reported.get(key, "")))[:80] for key in ("uuid", "name"))
    logger.info("the model computes on %s (%s)", name, uuid or "its UUID is not known")
    if is_other_gpu(expected, uuid):
        raise HostError(
            f"the container was given GPU {expected}, and the model computes on {name} ({uuid}): "
            "the engine or the model chose another one. Nothing was recorded; see: umd doctor"
        )


def new_output(workspace: Workspace) -> Path:
    """A new folder for what one container writes."""
    folder = workspace.output / secrets.token_hex(6)
    folder.mkdir(parents=True)
    keep_removable(folder)
    return folder


def require_input(request: StagedRequest) -> None:
    """Raise HostError if a file of the request was removed from the input folder."""
    for file in (*request.files, *request.images):
        if not file.exists():
            raise HostError(
                f"{file} was removed while the model worked; leave the folder "
                f"{file.parents[2]} alone and run again"
            )


def removed_output(output: Path) -> OutsideFailure | None:
    """The failure of a container whose output folder was removed; None if it exists."""
    if output.is_dir():
        return None
    return OutsideFailure(
        status=Status.MISSING, detail=f"the model's output folder {output} was removed"
    )


def raise_if_disk_full(workspace: Workspace) -> None:
    """Raise HostError if the disk of the workspace is full, or the workspace was removed."""
    removed = [path for path in (workspace.output, workspace.input) if not path.is_dir()]
    if removed:
        raise HostError(
            f"{removed[0]} was removed while the model worked; leave the folder alone and run again"
        )
    # the output folder may be a file system of limited size, which a model fills
    free = shutil.disk_usage(workspace.input).free
    if free < MIN_FREE_BYTES:
        raise HostError(
            f"only {free // 2**20} MiB are free at {workspace.input}; free some space and run again"
        )


def raise_if_removed(outcome: RequestOutcome) -> None:
    """Raise HostError if somebody removed the folder that holds the answer."""
    removed = removed_output(outcome.output) if outcome.output else None
    if removed:
        raise HostError(f"{removed.detail}; leave the folder alone and run again")
