"""The queue: submissions that wait for a worker, as rows of one table.

A worker takes a row by one UPDATE whose condition says that nobody has it. On PostgreSQL the row is
chosen with FOR UPDATE SKIP LOCKED, so workers do not wait for each other; on SQLite a writing
transaction is alone. A row is held by a lease, which the worker renews. When a lease has ended, the
row can be taken again. ``attempts`` numbers the leases of an evaluation: a worker that lost its
lease cannot end it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, or_, select, update

from evaluator.challenges.tables import SubmissionRow, WorkerRow

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from evaluator.challenges.database import Database

#: how long a worker may be silent, seconds
LEASE_SECONDS = 60.0
#: how long a worker that was killed stays in the list, seconds
FORGET_SECONDS = 3600.0
#: wait before a submission is taken again after a fault of the host, seconds
HOST_PAUSE_SECONDS = 10.0
#: wait of a submission whose baseline is not scored yet, seconds
WAIT_SECONDS = 5.0

Fault = Literal["team", "host", "organiser"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to evaluate a submission, until another worker has it."""

    submission: str
    #: number of the evaluation
    job: int
    #: number of the attempt at it
    attempt: int
    worker: str


def claim_next(database: Database, worker: str, lease: float = LEASE_SECONDS) -> Claim | None:
    """Take the submission that has waited longest; None if none waits."""
    now = database.now
    chosen = (
        select(SubmissionRow.number)
        .where(_waits(now))
        .order_by(SubmissionRow.number)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(SubmissionRow)
        .where(SubmissionRow.number == chosen)
        .values(worker=worker, attempts=SubmissionRow.attempts + 1, lease_until=now + lease)
        .returning(SubmissionRow.id, SubmissionRow.job, SubmissionRow.attempts)
        .execution_options(synchronize_session=False)
    )
    with database.writing() as session:
        row = session.execute(statement).one_or_none()
    if row is None:
        return None
    return Claim(submission=row[0], job=row[1], attempt=row[2], worker=worker)


def _waits(now: ColumnElement[float]) -> ColumnElement[bool]:
    return (
        SubmissionRow.queued.is_(True)
        & SubmissionRow.withdrawn.is_(False)
        & (SubmissionRow.disqualified == "")
        & (SubmissionRow.lease_until < now)
        & (SubmissionRow.not_before <= now)
    )


def waiting_count(database: Database) -> tuple[int, int]:
    """Submissions that wait or are worked on, and those of them that could be taken now."""
    now = database.now
    with database.reading() as session:
        queued = session.scalars(
            select(SubmissionRow.number).where(
                SubmissionRow.queued.is_(True), SubmissionRow.withdrawn.is_(False)
            )
        ).all()
        free = session.scalars(select(SubmissionRow.number).where(_waits(now))).all()
    return len(queued), len(free)


def renew(database: Database, claim: Claim, lease: float = LEASE_SECONDS) -> bool:
    """Show that the worker lives; False if the claim is lost or the evaluation not wanted."""
    statement = (
        update(SubmissionRow)
        .where(
            _is_held(claim),
            SubmissionRow.withdrawn.is_(False),
            SubmissionRow.disqualified == "",
        )
        .values(lease_until=database.now + lease)
    )
    return _changes_one(database, statement)


def release(
    database: Database,
    claim: Claim,
    *,
    queued: bool = True,
    host_fault: bool = False,
    pause: bool = False,
) -> bool:
    """Give a claim back without an outcome.

    Args:
        database: of the challenge.
        claim: what is given back.
        queued: whether the submission goes on waiting.
        host_fault: the host failed; the submission waits for a while.
        pause: it waits for a while, and this attempt does not count.

    Returns:
        False if the claim was lost.
    """
    values: dict[str, object] = {"worker": "", "lease_until": 0.0, "queued": queued}
    if host_fault:
        values["host_faults"] = SubmissionRow.host_faults + 1
        values["not_before"] = database.now + HOST_PAUSE_SECONDS
    if pause:
        values["attempts"] = SubmissionRow.attempts - 1
        values["not_before"] = database.now + WAIT_SECONDS
    statement = update(SubmissionRow).where(_is_held(claim)).values(**values)
    return _changes_one(database, statement)


def _is_held(claim: Claim) -> ColumnElement[bool]:
    return (
        (SubmissionRow.id == claim.submission)
        & (SubmissionRow.job == claim.job)
        & (SubmissionRow.attempts == claim.attempt)
        & (SubmissionRow.worker == claim.worker)
        & SubmissionRow.queued.is_(True)
    )


def holds(database: Database, claim: Claim) -> bool:
    """Whether a claim is still its worker's."""
    with database.reading() as session:
        return session.scalar(select(SubmissionRow.number).where(_is_held(claim))) is not None


def end(
    database: Database,
    submission: str,
    job: int,
    *,
    outcome: Literal["scored", "failed"],
    fault: str = "",
    detail: str = "",
    result: int | None = None,
) -> None:
    """Enter the outcome of an evaluation, which the folder holds already.

    Nothing happens if another evaluation of the submission has begun since.
    """
    values: dict[str, object] = {
        "queued": False,
        "worker": "",
        "lease_until": 0.0,
        "outcome": outcome,
        "fault": fault,
        "detail": detail,
    }
    if result is not None:
        values["result"] = result
    with database.writing() as session:
        session.execute(
            update(SubmissionRow)
            .where(SubmissionRow.id == submission, SubmissionRow.job == job)
            .values(**values)
        )


def host_faults(database: Database, submission: str) -> int:
    """How many attempts at the present evaluation ended by faults of the host."""
    with database.reading() as session:
        found = session.scalar(
            select(SubmissionRow.host_faults).where(SubmissionRow.id == submission)
        )
    return found or 0


def enqueue(database: Database, submission: str, *, again: bool = False) -> int | None:
    """Let a submission into the queue.

    Args:
        database: of the challenge.
        submission: its id.
        again: a new evaluation of one that ended or was withdrawn; otherwise the first one, of a
            submission that waits for approval.

    Returns:
        the number of the evaluation; None if the submission is in the queue already.
    """
    condition = or_(SubmissionRow.outcome != "", SubmissionRow.withdrawn.is_(True))
    statement = (
        update(SubmissionRow)
        .where(
            SubmissionRow.id == submission,
            SubmissionRow.queued.is_(False),
            condition if again else SubmissionRow.outcome == "",
        )
        .values(
            queued=True,
            job=SubmissionRow.job + (1 if again else 0),
            attempts=0,
            host_faults=0,
            worker="",
            lease_until=0.0,
            not_before=0.0,
            outcome="",
            fault="",
            detail="",
            withdrawn=False,
        )
        .returning(SubmissionRow.job)
        .execution_options(synchronize_session=False)
    )
    with database.writing() as session:
        return session.scalar(statement)


def register_worker(database: Database, name: str, slots: int, gpus: str) -> None:
    """Note that a worker lives, and remove those that have been silent for an hour."""
    now = database.now
    with database.writing() as session:
        session.execute(delete(WorkerRow).where(WorkerRow.seen < now - FORGET_SECONDS))
        seen = session.execute(update(WorkerRow).where(WorkerRow.name == name).values(seen=now))
        if getattr(seen, "rowcount", 0) == 0:
            session.add(WorkerRow(name=name, slots=slots, gpus=gpus, started=now, seen=now))


def remove_worker(database: Database, name: str) -> None:
    """Remove a worker that ends."""
    with database.writing() as session:
        session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def _changes_one(database: Database, statement: object) -> bool:
    with database.writing() as session:
        result = session.execute(statement)  # type: ignore[call-overload]
        return bool(result.rowcount == 1)
