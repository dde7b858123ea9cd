"""The tables of a challenge's database, which is an index of the challenge's folder."""

from __future__ import annotations

from sqlalchemy import Boolean, Float, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: names of constraints, so that migrations can name them on every database
CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=CONVENTION)


class SubmissionRow(Base):
    """One submission. Times are seconds since 1970, UTC."""

    __tablename__ = "submissions"

    #: order of arrival
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    team: Mapped[str] = mapped_column(String(64), index=True)
    track: Mapped[str] = mapped_column(String(64))
    phase: Mapped[str] = mapped_column(String(64))
    #: day of arrival, UTC, such as 2027-01-31
    day: Mapped[str] = mapped_column(String(10))
    received: Mapped[float] = mapped_column(Float)
    #: whether the archive was read and nothing speaks against it
    checked: Mapped[bool] = mapped_column(Boolean, default=False)
    #: number of its evaluation, from 1; 0: it was never let into the queue
    job: Mapped[int] = mapped_column(Integer, default=0)
    #: an evaluation is wanted
    queued: Mapped[bool] = mapped_column(Boolean, default=False, index=True)
    #: attempts at the present evaluation
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    #: attempts that ended by faults of the host
    host_faults: Mapped[int] = mapped_column(Integer, default=0)
    #: who works on it; empty: nobody
    worker: Mapped[str] = mapped_column(String(200), default="")
    #: until when the worker must have shown that it lives; 0: nobody works on it
    lease_until: Mapped[float] = mapped_column(Float, default=0.0)
    #: not taken before
    not_before: Mapped[float] = mapped_column(Float, default=0.0)
    #: "scored" or "failed"; empty: it did not end
    outcome: Mapped[str] = mapped_column(String(16), default="")
    #: whose fault a failure is: "team", "host" or "organiser"
    fault: Mapped[str] = mapped_column(String(16), default="")
    #: why it failed
    detail: Mapped[str] = mapped_column(Text, default="")
    withdrawn: Mapped[bool] = mapped_column(Boolean, default=False)
    #: the organiser's reason; empty: it is not disqualified
    disqualified: Mapped[str] = mapped_column(Text, default="")
    #: number of the newest result; 0: there is none
    result: Mapped[int] = mapped_column(Integer, default=0)
    #: whether it counts for the team's quota
    charged: Mapped[bool] = mapped_column(Boolean, default=True)


class QuotaRow(Base):
    """How many submissions count for a team, in a track, a phase and on a day."""

    __tablename__ = "quotas"
    __table_args__ = (UniqueConstraint("team", "track", "phase", "day", name="uq_quotas_place"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    team: Mapped[str] = mapped_column(String(64))
    track: Mapped[str] = mapped_column(String(64))
    phase: Mapped[str] = mapped_column(String(64))
    #: a day, or "all" for the phase
    day: Mapped[str] = mapped_column(String(10))
    used: Mapped[int] = mapped_column(Integer, default=0)


class WorkerRow(Base):
    """A worker, as it last told of itself."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    slots: Mapped[int] = mapped_column(Integer)
    gpus: Mapped[str] = mapped_column(Text, default="")
    started: Mapped[float] = mapped_column(Float)
    seen: Mapped[float] = mapped_column(Float)
