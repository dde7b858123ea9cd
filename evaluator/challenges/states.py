"""The state of a submission, derived from the database, the leases and the folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evaluator.challenges.tables import SubmissionRow

State = Literal[
    "received", "checked", "queued", "running", "scored", "failed", "withdrawn", "disqualified"
]
STATES: tuple[State, ...] = (
    "received",
    "checked",
    "queued",
    "running",
    "scored",
    "failed",
    "withdrawn",
    "disqualified",
)
"""received: handed in, not inspected. checked: inspected, waits for the organiser. queued: waits
for a worker. running: a worker that lives has it. scored, failed: it ended. withdrawn: by the team.
disqualified: by the organiser.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of a submission."""

    id: str
    team: str
    track: str
    phase: str
    #: seconds since 1970
    received: float
    state: State
    #: whose fault a failure is; empty: it did not fail
    fault: str = ""
    #: why it has this state
    detail: str = ""
    worker: str = ""
    #: number of the evaluation, and of the attempt at it
    job: int = 0
    attempt: int = 0
    #: number of the newest result; 0: there is none
    result: int = 0


def derive_status(row: SubmissionRow, now: float) -> Status:
    """Derive the state of a submission.

    A worker whose lease has ended is not believed: its submission waits for another one.

    Args:
        row: of the database.
        now: the database's time, seconds since 1970.
    """
    state, detail = _state(row, now)
    failed = state == "failed"
    return Status(
        id=row.id,
        team=row.team,
        track=row.track,
        phase=row.phase,
        received=row.received,
        state=state,
        fault=row.fault if failed else "",
        detail=detail,
        worker=row.worker if state == "running" else "",
        job=row.job,
        attempt=row.attempts,
        result=row.result,
    )


def _state(row: SubmissionRow, now: float) -> tuple[State, str]:
    if row.disqualified:
        return "disqualified", row.disqualified
    if row.withdrawn:
        return "withdrawn", ""
    if row.outcome == "scored":
        return "scored", ""
    if row.outcome == "failed":
        return "failed", row.detail
    if not row.checked:
        return "received", ""
    if not row.queued:
        return "checked", "waits for the organiser's approval"
    if row.worker and row.lease_until >= now:
        return "running", f"attempt {row.attempts}, by {row.worker}"
    if row.worker:
        silent = max(now - row.lease_until, 0.0)
        return "queued", f"{row.worker} stopped answering more than {silent:.0f} s ago"
    if row.not_before > now:
        return "queued", f"again in {row.not_before - now:.0f} s, after a fault of the host"
    return "queued", ""
