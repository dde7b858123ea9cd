"""Take submissions: receive, inspect, let into the queue."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from evaluator.challenges import queue
from evaluator.challenges.image_inspection import inspect_submission
from evaluator.challenges.outcomes import fail
from evaluator.challenges.quotas import charge
from evaluator.challenges.records import SubmissionRecord
from evaluator.challenges.sources import require_source
from evaluator.challenges.tables import SubmissionRow
from evaluator.challenges.teams import BASELINE, require_team
from evaluator.errors import UserError, write_fault
from evaluator.runs.json_types import write_typed

if TYPE_CHECKING:
    from evaluator.challenges.definition import Phase
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim

#: how long a submission may be received and inspected before a worker takes it over, seconds
INTAKE_SECONDS = 3600.0
COPY_BYTES = 2**22


def submit(
    challenge: OpenChallenge,
    source: str,
    *,
    team: str,
    track: str,
    now: datetime | None = None,
    name: str = "",
    move: bool = False,
) -> str:
    """Take a submission: receive it, inspect it, and let it into the queue.

    Args:
        challenge: where it is handed in.
        source: a file written by ``docker save``, or the reference of an image; with engine
            "local" the name of a model.
        team: who hands it in.
        track: name of the track.
        now: the time; None: by this machine's clock.
        name: the archive's name as the team gave it; empty: that of the file.
        move: take the file itself instead of a copy, for an upload; it stays after an error.

    Returns:
        the id of the submission, whatever its inspection found; its status tells.

    Raises:
        QuotaError: the team has no submission left.
        UserError: the team or the track does not exist, or no phase is open.
        HostError: the archive cannot be stored.
    """
    claim = receive(challenge, source, team=team, track=track, now=now, name=name, move=move)
    inspect_received(challenge, claim)
    return claim.submission


def receive(
    challenge: OpenChallenge,
    source: str,
    *,
    team: str,
    track: str,
    now: datetime | None = None,
    name: str = "",
    move: bool = False,
    is_reference: bool = False,
) -> Claim:
    """Store a submission and count it; see ``submit``.

    With ``is_reference`` the source is never a file of this machine: a stranger wrote it.

    Returns:
        the claim of whoever inspects it. After an hour a worker does.
    """
    definition, moment = challenge.definition, now or datetime.now(UTC)
    require_team(challenge, team, source)
    definition.track(track)
    phase = definition.open_phase(moment)
    if team != BASELINE:
        require_source(source, zoo=definition.engine == "local", is_reference=is_reference)
    record = SubmissionRecord(
        id=f"{moment:%Y%m%d}-{secrets.token_hex(4)}",
        team=team,
        track=track,
        phase=phase.name,
        received=moment.isoformat(timespec="seconds"),
        source=name or source,
        baseline=team == BASELINE,
    )
    staged = challenge.folder.incoming / record.id
    try:
        if not is_reference:
            record = _store(staged, record, source, move=move, most=definition.limits.archive_gib)
        _write_record(staged, record)
        claim = _enter(challenge, record, phase)
        _publish(staged, challenge.folder.submissions / record.id)
    except BaseException:
        if move and not is_reference:
            with suppress(OSError):
                (staged / "image.tar").replace(source)
        shutil.rmtree(staged, ignore_errors=True)
        raise
    facts = {"team": team, "track": track, "phase": phase.name, "source": record.source}
    facts["archive_sha256"] = record.archive_sha256
    challenge.folder.log.append("received", submission=record.id, actor=team, facts=facts)
    return claim


def _store(
    staged: Path, record: SubmissionRecord, source: str, *, move: bool, most: float
) -> SubmissionRecord:
    """Put the archive, if there is one, into a folder; returns the record with its hash."""
    archive = Path(source).expanduser()
    try:
        staged.mkdir(parents=True)
        if archive.is_file():
            size = archive.stat().st_size
            if size > most * 2**30:
                raise UserError(
                    f"the archive has {size / 2**30:.1f} GiB, and {most:g} GiB are allowed"
                )
            sha256 = _take(archive, staged / "image.tar", move=move)
            name = record.source if record.source != source else archive.name
            record = replace(record, source=name, archive_sha256=sha256, archive_bytes=size)
    except OSError as error:
        raise write_fault(staged, error) from error
    return record


def _write_record(staged: Path, record: SubmissionRecord) -> None:
    try:
        staged.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_fault(staged, error) from error
    write_typed(staged / "submission.json", record)


def _take(archive: Path, target: Path, *, move: bool) -> str:
    """Copy or move a file; returns its sha256."""
    digest = hashlib.sha256()
    if move:
        with suppress(OSError):
            archive.replace(target)
    copies = not target.exists()
    with ExitStack() as stack:
        file = stack.enter_context((archive if copies else target).open("rb"))
        copy = stack.enter_context(target.open("wb")) if copies else None
        while part := file.read(COPY_BYTES):
            digest.update(part)
            if copy:
                copy.write(part)
        if copy:
            copy.flush()
            os.fsync(copy.fileno())
    if move:
        archive.unlink(missing_ok=True)
    return digest.hexdigest()


def _enter(challenge: OpenChallenge, record: SubmissionRecord, phase: Phase) -> Claim:
    """Add the submission to the database and count it, in one transaction."""
    received = datetime.fromisoformat(record.received)
    intake = f"intake, process {os.getpid()} on {os.uname().nodename}"

    def enter() -> None:
        with challenge.database.writing() as session:
            row = new_row(record)
            row.worker, row.attempts = intake, 1
            row.lease_until = session.scalar(select(challenge.database.now + INTAKE_SECONDS))  # type: ignore[assignment]
            row.received = received.timestamp()
            session.add(row)
            session.flush()
            if not record.baseline:
                charge(session, phase.quota, row)

    challenge.database.insist(enter)
    return queue.Claim(submission=record.id, job=1, attempt=1, worker=intake)


def new_row(record: SubmissionRecord) -> SubmissionRow:
    """The row of a submission that was received and not inspected."""
    received = datetime.fromisoformat(record.received)
    return SubmissionRow(
        id=record.id,
        team=record.team,
        track=record.track,
        phase=record.phase,
        day=received.astimezone(UTC).date().isoformat(),
        received=received.timestamp(),
        checked=False,
        job=1,
        queued=True,
        attempts=0,
        host_faults=0,
        worker="",
        lease_until=0.0,
        not_before=0.0,
        outcome="",
        fault="",
        detail="",
        withdrawn=False,
        disqualified="",
        result=0,
        charged=not record.baseline,
    )


def _publish(staged: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
    except OSError as error:
        raise write_fault(target, error) from error


def inspect_received(challenge: OpenChallenge, claim: Claim) -> bool:
    """Inspect a submission that the caller has claimed.

    It then waits for a worker or for the organiser's approval, or has failed.

    Returns:
        whether the submission was accepted.
    """
    submission = challenge.folder.submission(claim.submission)
    if not ensure_checked(challenge, submission, claim):
        return False
    phase = challenge.definition.phase(submission.record().phase)
    approved = phase.approval == "automatic"
    challenge.database.insist(lambda: queue.release(challenge.database, claim, queued=approved))
    if approved:
        challenge.folder.log.append("queued", submission=claim.submission, facts={"evaluation": 1})
    return True


def ensure_checked(challenge: OpenChallenge, submission: SubmissionFolder, claim: Claim) -> bool:
    """Inspect a submission unless that was done; False if it is refused, and has failed by that."""
    check = submission.check()
    if check is None:
        check = inspect_submission(challenge, submission)
        submission.write_check(check)
        facts = {"accepted": check.accepted, "image": check.image, "problems": check.problems}
        challenge.folder.log.append("checked", submission=submission.id, facts=_plain(facts))
    if not check.accepted:
        detail = "\n".join(check.problems)
        fail(challenge, submission, claim, fault="team", detail=detail, step="check")
        return False

    def note() -> None:
        with challenge.database.writing() as session:
            session.execute(
                update(SubmissionRow).where(SubmissionRow.id == submission.id).values(checked=True)
            )

    challenge.database.insist(note)
    return True


def _plain(facts: dict[str, object]) -> dict[str, object]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in facts.items()}
