"""End the evaluation of a submission: first in the folder, then in the log, then in the database.

If a process ends between two of these, the next worker finds what the folder says and does the
rest.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.challenges import queue, quotas
from evaluator.challenges.records import Outcome
from evaluator.errors import DamagedFileError

if TYPE_CHECKING:
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim, Fault

logger = logging.getLogger(__name__)


def fail(
    challenge: OpenChallenge,
    submission: SubmissionFolder,
    claim: Claim,
    *,
    fault: Fault,
    detail: str,
    step: str,
    seconds: float = 0.0,
) -> None:
    """End an evaluation as failed; faults of host and organiser do not count for the quota."""
    outcome = Outcome(
        state="failed",
        attempt=claim.attempt,
        worker=claim.worker,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        fault=fault,
        detail=detail,
        step=step,
        seconds=round(seconds, 3),
    )
    _end(challenge, submission, claim.job, outcome)


def score(
    challenge: OpenChallenge,
    submission: SubmissionFolder,
    claim: Claim,
    *,
    result: int,
    seconds: float,
) -> None:
    """End an evaluation with a result."""
    outcome = Outcome(
        state="scored",
        attempt=claim.attempt,
        worker=claim.worker,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        result=result,
        seconds=round(seconds, 3),
    )
    _end(challenge, submission, claim.job, outcome)


def _end(
    challenge: OpenChallenge, submission: SubmissionFolder, job: int, outcome: Outcome
) -> None:
    while not submission.write_outcome(job, outcome):
        if finish_interrupted(challenge, submission, job):
            return
    # the line of an outcome that was damaged later stays
    if outcome.attempt == 1 or not _is_logged(challenge, submission.id, job, outcome):
        _log(challenge, submission.id, job, outcome)
    enter_outcome(challenge, submission.id, job, outcome)


def finish_interrupted(challenge: OpenChallenge, submission: SubmissionFolder, job: int) -> bool:
    """Enter the outcome of an evaluation that another process wrote and did not enter.

    An outcome that cannot be read is set aside: the evaluation goes on with what is done.

    Returns:
        False if the evaluation has no outcome.
    """
    try:
        outcome = submission.outcome(job)
    except DamagedFileError as error:
        aside = submission.set_outcome_aside(job)
        detail = f"{error}. It is now {aside.name}, and the evaluation goes on"
        facts = {"evaluation": job, "step": "the worker", "detail": detail}
        challenge.folder.log.append("host fault", submission=submission.id, facts=facts)
        logger.warning("submission %s: fault of the host: %s", submission.id, detail)
        return False
    if outcome is None:
        return False
    if not _is_logged(challenge, submission.id, job, outcome):
        _log(challenge, submission.id, job, outcome)
    enter_outcome(challenge, submission.id, job, outcome)
    return True


def _is_logged(challenge: OpenChallenge, submission: str, job: int, outcome: Outcome) -> bool:
    return any(
        event.submission == submission
        and event.event == outcome.state
        and event.facts.get("evaluation") == job
        for event in challenge.folder.log.events()
    )


def _log(challenge: OpenChallenge, submission: str, job: int, outcome: Outcome) -> None:
    facts: dict[str, object] = {"evaluation": job, "attempt": outcome.attempt}
    if outcome.state == "scored":
        facts["result"] = outcome.result
    else:
        facts |= {"fault": outcome.fault, "step": outcome.step, "detail": outcome.detail}
    challenge.folder.log.append(
        outcome.state, submission=submission, actor=outcome.worker, facts=facts
    )
    logger.info("submission %s: %s %s", submission, outcome.state, outcome.detail)


def enter_outcome(challenge: OpenChallenge, submission: str, job: int, outcome: Outcome) -> None:
    """Enter an outcome of the folder into the database."""

    def enter() -> None:
        queue.end(
            challenge.database,
            submission,
            job,
            outcome=outcome.state,
            fault=outcome.fault,
            detail=outcome.detail,
            result=outcome.result or None,
        )
        if outcome.fault in ("host", "organiser"):
            with challenge.database.writing() as session:
                quotas.refund(session, submission)

    challenge.database.insist(enter)
