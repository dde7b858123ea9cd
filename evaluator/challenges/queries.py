"""What is known of submissions, and what of it a team may see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from evaluator.challenges.results import newest_result
from evaluator.challenges.states import Status, derive_status
from evaluator.challenges.tables import SubmissionRow, WorkerRow
from evaluator.errors import UnknownNameError
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.records import CheckRecord
    from evaluator.challenges.result_file import ChallengeResult

#: bytes that are read from the end of a log, and lines that a team sees of them
LOG_BYTES = 2**20
TAIL_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """A worker that told of itself."""

    name: str
    slots: int
    gpus: str
    #: seconds since it was heard of
    silent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionView:
    """What somebody may see of a submission."""

    status: Status
    check: CheckRecord | None
    #: hidden scans that are done, and all of them; (0, 0): not begun
    progress: tuple[int, int]
    #: what the model printed in the dry run
    probe_log: tuple[str, ...]
    #: what the model printed for hidden cases, as far as the phase allows
    hidden_log: tuple[str, ...]
    #: why no lines of it are shown; empty: they are
    hidden_log_reason: str
    #: absent if there is none, or scores are not shown yet
    result: ChallengeResult | None
    #: why there is no result to see; empty: there is
    result_reason: str


def statuses(
    challenge: OpenChallenge, *, team: str | None = None, track: str | None = None
) -> list[Status]:
    """The states of submissions in the order of arrival.

    Args:
        challenge: of the submissions.
        team: only of this team; None: of all.
        track: only in this track; None: in all.
    """
    statement = select(SubmissionRow).order_by(SubmissionRow.number)
    if team is not None:
        statement = statement.where(SubmissionRow.team == team)
    if track is not None:
        statement = statement.where(SubmissionRow.track == track)

    def read() -> list[Status]:
        with challenge.database.reading() as session:
            now = float(session.scalar(select(challenge.database.now)) or 0.0)
            return [derive_status(row, now) for row in session.scalars(statement)]

    return challenge.database.insist(read)


def status_of(challenge: OpenChallenge, submission: str) -> Status:
    """The state of one submission; raises UnknownNameError."""

    def read() -> Status | None:
        with challenge.database.reading() as session:
            now = float(session.scalar(select(challenge.database.now)) or 0.0)
            statement = select(SubmissionRow).where(SubmissionRow.id == submission)
            row = session.scalar(statement)
            return derive_status(row, now) if row else None

    status = challenge.database.insist(read)
    if status is None:
        ids = challenge.folder.ids()
        raise UnknownNameError("submission", submission, ids, listed_by="umd challenge status")
    return status


def as_team_sees(status: Status) -> Status:
    """A state without what is the organiser's: workers, and reasons of the machine's faults."""
    detail = status.detail
    if status.state == "failed" and status.fault != "team":
        detail = (
            f"a fault of the {status.fault}, which does not count; the organiser has the reason"
        )
    elif status.state in ("queued", "running"):
        detail = f"attempt {status.attempt}" if status.attempt > 1 else ""
    return replace(status, detail=detail, worker="")


def workers(challenge: OpenChallenge) -> list[WorkerState]:
    """The workers that told of themselves and did not end regularly."""

    def read() -> list[WorkerState]:
        with challenge.database.reading() as session:
            now = float(session.scalar(select(challenge.database.now)) or 0.0)
            rows = session.scalars(select(WorkerRow).order_by(WorkerRow.started))
            return [
                WorkerState(
                    name=row.name, slots=row.slots, gpus=row.gpus, silent=max(now - row.seen, 0.0)
                )
                for row in rows
            ]

    return challenge.database.insist(read)


def view_submission(
    challenge: OpenChallenge,
    submission: str,
    *,
    organiser: bool,
    now: datetime | None = None,
) -> SubmissionView:
    """What the team or the organiser may see of a submission.

    Args:
        challenge: of the submission.
        submission: its id.
        organiser: everything is shown; otherwise what the phase shows to the team.
        now: the time; None: by this machine's clock.
    """
    status = status_of(challenge, submission)
    if not organiser:
        status = as_team_sees(status)
    folder = challenge.folder.submission(submission)
    phase = challenge.definition.phase(status.phase)
    hidden_log_reason = ""
    if not organiser:
        if phase.logs == "none":
            hidden_log_reason = "this phase shows no log of hidden cases"
        elif phase.logs == "failures" and status.state != "failed":
            hidden_log_reason = "this phase shows the log of hidden cases after a failure only"
    lines = None if organiser or phase.logs == "all" else TAIL_LINES
    result, result_reason = newest_result(folder), ""
    if result is None:
        result_reason = "there is no result"
    elif not organiser and not phase.shows_scores(now or datetime.now(UTC)):
        result, result_reason = None, "scores are not shown yet"
    job = status.job
    hidden_log = () if hidden_log_reason else _log_lines(folder, job, "hidden", lines)
    return SubmissionView(
        status=status,
        check=folder.check(),
        progress=_progress(folder, job),
        probe_log=_log_lines(folder, job, "probe", None),
        hidden_log=hidden_log,
        hidden_log_reason=hidden_log_reason,
        result=result,
        result_reason=result_reason,
    )


def _progress(folder: SubmissionFolder, job: int) -> tuple[int, int]:
    run = folder.run(job, "hidden")
    if run is None:
        return 0, 0
    scans = run.info().scans
    return scans - run.missing_scans(), scans


def _log_lines(folder: SubmissionFolder, job: int, part: str, lines: int | None) -> tuple[str, ...]:
    run = folder.run(job, part)
    return tail_lines(run.path / "model.log", lines) if run else ()


def tail_lines(path: Path, lines: int | None) -> tuple[str, ...]:
    """The last lines of a log of a stranger's program, made harmless; none without the file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - LOG_BYTES, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    cleaned = [clean_text(line, 500) for line in text.splitlines()]
    return tuple(cleaned if lines is None else cleaned[-lines:])
