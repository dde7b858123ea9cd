"""Quotas: a team's submissions for a track, on a day and in a phase, counted atomically."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from evaluator.challenges.tables import QuotaRow, SubmissionRow
from evaluator.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from evaluator.challenges.definition import Quota

#: the "day" that counts the whole phase
PHASE = "all"


class QuotaError(UserError):
    """A team has no submission left."""


def charge(session: Session, quota: Quota, row: SubmissionRow) -> None:
    """Count a submission, in the caller's transaction.

    Raises:
        QuotaError: the team has used its quota; the caller's transaction must be rolled back.
    """
    _use(session, row, row.day, quota.per_day, f"on {row.day}")
    if quota.per_phase is not None:
        _use(session, row, PHASE, quota.per_phase, f"in phase {row.phase}")


def _use(session: Session, row: SubmissionRow, day: str, limit: int, when: str) -> None:
    place = _place(row, day)
    if session.scalar(select(QuotaRow.number).where(*place)) is None:
        new = QuotaRow(team=row.team, track=row.track, phase=row.phase, day=day, used=0)
        try:
            with session.begin_nested():
                session.add(new)
        except IntegrityError:
            pass  # another process added the same row in between
    counted = session.execute(
        update(QuotaRow)
        .where(*place, QuotaRow.used < limit)
        .values(used=QuotaRow.used + 1)
        .execution_options(synchronize_session=False)
    )
    if getattr(counted, "rowcount", 0) != 1:
        raise QuotaError(
            f"team {row.team} has handed in {limit} submissions for track {row.track} {when}, "
            "which is its quota"
        )


def refund(session: Session, submission: str) -> bool:
    """Take a submission out of its team's quota; False if it did not count."""
    row = session.scalar(
        select(SubmissionRow).where(SubmissionRow.id == submission).with_for_update()
    )
    if row is None or not row.charged:
        return False
    row.charged = False
    for day in (row.day, PHASE):
        session.execute(
            update(QuotaRow)
            .where(*_place(row, day), QuotaRow.used > 0)
            .values(used=QuotaRow.used - 1)
            .execution_options(synchronize_session=False)
        )
    return True


def recount(session: Session) -> None:
    """Compute all quotas from the submissions that count."""
    session.query(QuotaRow).delete()
    columns = (SubmissionRow.team, SubmissionRow.track, SubmissionRow.phase)
    charged = SubmissionRow.charged.is_(True)
    for with_day in (True, False):
        keys = (*columns, SubmissionRow.day) if with_day else columns
        statement = select(*keys, func.count()).where(charged).group_by(*keys)
        for team, track, phase, *rest in session.execute(statement).all():
            day = rest[0] if with_day else PHASE
            row = QuotaRow(team=team, track=track, phase=phase, day=day, used=rest[-1])
            session.add(row)


def _place(row: SubmissionRow, day: str) -> tuple[ColumnElement[bool], ...]:
    return (
        QuotaRow.team == row.team,
        QuotaRow.track == row.track,
        QuotaRow.phase == row.phase,
        QuotaRow.day == day,
    )
