"""Take submissions: receive, inspect, let into the queue."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from evaluator.challenges import queue
from evaluator.challenges.image_inspection import inspect_submission
from evaluator.challenges.incoming import (
    publish,
    remove_leftovers,
    remove_unpublished,
    staging,
    store,
    write_record,
)
from evaluator.challenges.outcomes import fail
from evaluator.challenges.quotas import charge
from evaluator.challenges.records import SubmissionRecord
from evaluator.challenges.sources import require_source
from evaluator.challenges.tables import SubmissionRow
from evaluator.challenges.teams import BASELINE, require_team

if TYPE_CHECKING:
    from evaluator.challenges.definition import Phase
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim

#: how long a submission may be received and inspected before a worker takes it over, seconds
INTAKE_SECONDS = 3600.0


def submit(
    challenge: OpenChallenge,
    source: str,
    *,
    team: str,
    track: str,
    now: datetime | None = None,
    name: str = "",
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

    Returns:
        the id of the submission, whatever its inspection found; its status tells.

    Raises:
        QuotaError: the team has no submission left.
        UserError: the team or the track does not exist, or no phase is open.
        HostError: the archive cannot be stored.
    """
    claim = receive(challenge, source, team=team, track=track, now=now, name=name)
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
    identifier: str = "",
    link: bool = False,
    is_reference: bool = False,
) -> Claim:
    """Store a submission and count it; see ``submit``.

    ``identifier`` is an id of ``new_identifier`` that the caller has noted. With ``link`` the
    stored archive is the source itself where the file system allows it; the caller does not change
    the source any more, and removes it. With ``is_reference`` the source is never a file of this
    machine: a stranger wrote it.

    Returns:
        the claim of whoever inspects it. After an hour a worker does.
    """
    definition, moment = challenge.definition, now or datetime.now(UTC)
    remove_leftovers(challenge)
    require_team(challenge, team, source)
    definition.track(track)
    phase = definition.open_phase(moment)
    if team != BASELINE:
        require_source(source, zoo=definition.engine == "local", is_reference=is_reference)
    record = SubmissionRecord(
        id=identifier or new_identifier(moment),
        team=team,
        track=track,
        phase=phase.name,
        received=moment.isoformat(timespec="seconds"),
        source=name or source,
        baseline=team == BASELINE,
    )
    with staging(challenge, record.id) as staged:
        if not is_reference:
            most = definition.limits.archive_gib
            record = store(staged, record, source, keep=not link, most=most)
        write_record(staged, record)
        claim = _enter(challenge, record, phase)
        try:
            publish(staged, challenge.folder.submissions / record.id)
        except BaseException:
            remove_unpublished(challenge, record.id)
            raise
    facts = {"team": team, "track": track, "phase": phase.name, "source": record.source}
    facts["archive_sha256"] = record.archive_sha256
    challenge.folder.log.append("received", submission=record.id, actor=team, facts=facts)
    return claim


def new_identifier(moment: datetime) -> str:
    """An id for a submission that is received at this time."""
    return f"{moment:%Y%m%d}-{secrets.token_hex(4)}"


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
