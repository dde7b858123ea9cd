"""What teams and organisers do with submissions after they were handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from evaluator.challenges import queue, quotas
from evaluator.challenges.queries import status_of
from evaluator.challenges.results import newest_result, write_result
from evaluator.challenges.tables import SubmissionRow
from evaluator.errors import UserError
from evaluator.scoring.rescore import score_run

if TYPE_CHECKING:
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.result_file import ChallengeResult


def withdraw(challenge: OpenChallenge, submission: str, *, team: str) -> None:
    """Take a submission back, by its team.

    One that was not begun does not count for the quota. A running one is ended by its worker.

    Raises:
        UserError: it is another team's, or has ended.
    """
    status = status_of(challenge, submission)
    if status.team != team:
        raise UserError(f"submission {submission} is not of team {team}")

    def enter() -> bool:
        with challenge.database.writing() as session:
            changed = session.execute(
                update(SubmissionRow)
                .where(
                    SubmissionRow.id == submission,
                    SubmissionRow.outcome == "",
                    SubmissionRow.withdrawn.is_(False),
                    SubmissionRow.disqualified == "",
                )
                .values(withdrawn=True, queued=False)
                .returning(SubmissionRow.worker)
                .execution_options(synchronize_session=False)
            ).one_or_none()
            if changed is None:
                return False
            if not changed[0] and status.attempt <= 1:
                quotas.refund(session, submission)
            return True

    if not challenge.database.insist(enter):
        raise UserError(f"submission {submission} is {status_of(challenge, submission).state}")
    charged = _is_charged(challenge, submission)
    challenge.folder.log.append(
        "withdrawn", submission=submission, actor=team, facts={"charged": charged}
    )


def approve(challenge: OpenChallenge, submission: str, *, by: str = "") -> None:
    """Let a checked submission into the queue, by the organiser.

    Args:
        challenge: of the submission.
        submission: its id.
        by: which organiser, for the log; so in all actions of organisers.

    Raises:
        UserError: it does not wait for approval.
    """
    status = status_of(challenge, submission)
    if status.state != "checked":
        raise UserError(f"submission {submission} is {status.state} and waits for no approval")
    challenge.folder.log.append(
        "approved", submission=submission, actor="organiser", facts=_facts(by)
    )
    challenge.database.insist(lambda: queue.enqueue(challenge.database, submission))


def rerun(challenge: OpenChallenge, submission: str, *, reason: str = "", by: str = "") -> int:
    """Evaluate a submission once more, by the organiser; earlier results are kept.

    Returns:
        the number of the new evaluation.

    Raises:
        UserError: it has not ended.
    """
    status = status_of(challenge, submission)
    check = challenge.folder.submission(submission).check()
    if check is None or not check.accepted:
        raise UserError(f"submission {submission} was refused; it cannot be evaluated")
    if status.state == "disqualified":
        raise UserError(f"submission {submission} is disqualified; reinstate it first")
    job = challenge.database.insist(
        lambda: queue.enqueue(challenge.database, submission, again=True)
    )
    if job is None:
        raise UserError(f"submission {submission} is {status.state} and has not ended")
    facts = _facts(by, evaluation=job, why=reason)
    challenge.folder.log.append("rerun", submission=submission, actor="organiser", facts=facts)
    return job


def disqualify(challenge: OpenChallenge, submission: str, *, reason: str, by: str = "") -> None:
    """Take a submission out of the ranking, by the organiser; a running one is ended.

    Raises:
        UserError: there is no reason.
    """
    if not reason.strip():
        raise UserError("a disqualification needs a reason, which the team and the log get")
    challenge.folder.submission(submission)
    facts = _facts(by, reason=reason)
    challenge.folder.log.append(
        "disqualified", submission=submission, actor="organiser", facts=facts
    )
    _set_disqualified(challenge, submission, reason)


def reinstate(challenge: OpenChallenge, submission: str, *, reason: str, by: str = "") -> None:
    """Take a disqualification back, by the organiser.

    Raises:
        UserError: the submission is not disqualified.
    """
    if status_of(challenge, submission).state != "disqualified":
        raise UserError(f"submission {submission} is not disqualified")
    facts = _facts(by, reason=reason)
    challenge.folder.log.append("reinstated", submission=submission, actor="organiser", facts=facts)
    _set_disqualified(challenge, submission, "")


def _set_disqualified(challenge: OpenChallenge, submission: str, reason: str) -> None:
    def enter() -> None:
        with challenge.database.writing() as session:
            session.execute(
                update(SubmissionRow)
                .where(SubmissionRow.id == submission)
                .values(disqualified=reason)
            )

    challenge.database.insist(enter)


def rescore(
    challenge: OpenChallenge, submission: str, *, reason: str, by: str = ""
) -> ChallengeResult:
    """Score a submission's masks again, without a container; the earlier result is kept.

    Args:
        challenge: of the submission.
        submission: its id.
        reason: why; it is part of the result.
        by: which organiser, for the log.

    Raises:
        UserError: the submission has no result, or a mask or a reference has changed.
    """
    folder = challenge.folder.submission(submission)
    before = newest_result(folder)
    if before is None:
        raise UserError(f"submission {submission} has no result that could be computed again")
    run = folder.run(before.evaluation, "hidden")
    if run is None:
        raise UserError(f"submission {submission}: its run folder is gone; use: rerun")
    score_run(run)
    result = write_result(challenge, folder, before.evaluation, f"rescored: {reason}")
    facts = _facts(by, result=result.version, evaluation=result.evaluation, why=reason)
    challenge.folder.log.append("rescored", submission=submission, actor="organiser", facts=facts)

    def enter() -> None:
        with challenge.database.writing() as session:
            session.execute(
                update(SubmissionRow)
                .where(SubmissionRow.id == submission)
                .values(result=result.version)
            )

    challenge.database.insist(enter)
    return result


def _facts(by: str, **facts: object) -> dict[str, object]:
    return facts | {"by": by} if by else facts


def _is_charged(challenge: OpenChallenge, submission: str) -> bool:
    with challenge.database.reading() as session:
        statement = select(SubmissionRow.charged).where(SubmissionRow.id == submission)
        return bool(session.scalar(statement))
