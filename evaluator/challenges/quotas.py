"""Quotas: a team's submissions for a track, on a day and in a phase, counted atomically."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from evaluator.challenges.tables import QuotaRow, SubmissionRow
from evaluator.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from evaluator.challenges.definition import Quota
    from evaluator.challenges.opening import OpenChallenge

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
        raise _used_up(row.team, row.track, limit, when)


def _used_up(team: str, track: str, limit: int, when: str) -> QuotaError:
    return QuotaError(
        f"team {team} has handed in {limit} submissions for track {track} {when}, which is its "
        "quota"
    )


def submissions_left(challenge: OpenChallenge, *, team: str, track: str) -> tuple[int, int | None]:
    """How many submissions a team may still hand in for a track.

    Returns:
        today, and in the open phase; None: as many as it likes.

    Raises:
        UserError: no phase is open.
    """
    now = datetime.now(UTC)
    phase = challenge.definition.open_phase(now)
    day, quota = now.date().isoformat(), phase.quota

    def read() -> dict[str, int]:
        with challenge.database.reading() as session:
            rows = session.execute(
                select(QuotaRow.day, QuotaRow.used).where(
                    QuotaRow.team == team,
                    QuotaRow.track == track,
                    QuotaRow.phase == phase.name,
                    QuotaRow.day.in_((day, PHASE)),
                )
            )
            return {row.day: row.used for row in rows}

    used = challenge.database.insist(read)
    today = max(quota.per_day - used.get(day, 0), 0)
    if quota.per_phase is None:
        return today, None
    in_phase = max(quota.per_phase - used.get(PHASE, 0), 0)
    return min(today, in_phase), in_phase


def require_left(challenge: OpenChallenge, *, team: str, track: str) -> None:
    """Refuse a submission that could not be counted, before it is sent.

    Raises:
        QuotaError: the team has none left.
        UserError: no phase is open, or the track is unknown.
    """
    challenge.definition.track(track)
    quota = challenge.definition.open_phase().quota
    today, in_phase = submissions_left(challenge, team=team, track=track)
    if in_phase == 0:
        raise _used_up(team, track, quota.per_phase or 0, "in this phase")
    if today == 0:
        raise _used_up(team, track, quota.per_day, "today")


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
