"""The evaluation of one submission by a worker: start it, watch it, decide what became of it."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.challenges import queue
from evaluator.challenges.attempt_process import AttemptProcess
from evaluator.challenges.baselines import baseline_problem
from evaluator.challenges.incoming import drop
from evaluator.challenges.outcomes import fail, finish_interrupted, score
from evaluator.challenges.results import write_result
from evaluator.challenges.submitting import ensure_checked
from evaluator.errors import HostError, UnknownNameError, UserError

if TYPE_CHECKING:
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.queue import Claim

logger = logging.getLogger(__name__)

#: attempts at one evaluation, of which each took its worker with it, until it is given up
MOST_ATTEMPTS = 12


@dataclass(slots=True)
class Evaluation:
    """One attempt at a submission that a worker has claimed."""

    challenge: OpenChallenge
    claim: Claim
    #: GPUs of the containers
    gpus: str
    #: set when the worker ends
    stop: threading.Event
    #: how long a worker may be silent, seconds
    lease: float
    #: program that starts the containers; empty: the engine's default
    runtime: str = ""

    def run(self) -> bool:
        """Evaluate the submission; whether it ended with an outcome."""
        try:
            submission = self.challenge.folder.submission(self.claim.submission)
        except UnknownNameError:
            self._drop()
            return False
        try:
            if finish_interrupted(self.challenge, submission, self.claim.job):
                return True
            if not ensure_checked(self.challenge, submission, self.claim):
                return True
            return self._evaluate(submission)
        except (UserError, OSError) as error:
            return self._host_fault(submission, str(error), "the worker")
        except Exception as error:  # a bug, or an image that finds one: other submissions go on
            self._log_traceback(submission)
            detail = f"{type(error).__name__}: {error}"
            return self._host_fault(submission, detail, "the worker")

    def _log_traceback(self, submission: SubmissionFolder) -> None:
        """Write the traceback of a bug to the worker's log and to the attempt's."""
        logger.exception("submission %s: an unexpected error", submission.id)
        path = submission.attempt_log(self.claim.job, self.claim.attempt)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(traceback.format_exc())

    def _evaluate(self, submission: SubmissionFolder) -> bool:
        challenge, claim = self.challenge, self.claim
        if self._waits_for_approval(submission) or self._waits_for_baseline(submission):
            return False
        lost = claim.attempt - 1 - self._host_faults()
        if lost >= MOST_ATTEMPTS:
            detail = f"{lost} workers ended while they evaluated it"
            fail(challenge, submission, claim, fault="host", detail=detail, step="attempts")
            return True
        facts = {"evaluation": claim.job, "attempt": claim.attempt}
        challenge.folder.log.append(
            "started", submission=submission.id, actor=claim.worker, facts=facts
        )
        limit = challenge.definition.limits.submission_seconds
        process = AttemptProcess(challenge.folder, submission, claim, self.gpus, self.runtime)
        ended = process.watch(most_seconds=limit, pause=self.lease / 4, is_wanted=self._keep_claim)
        if ended == "not wanted":
            if self.stop.is_set():
                challenge.database.insist(lambda: queue.release(challenge.database, claim))
            logger.info("submission %s was taken from this worker", submission.id)
            return False
        if ended == "over time":
            detail = f"It did not end within {limit:g} s, and was ended."
            fail(
                challenge,
                submission,
                claim,
                fault="team",
                detail=detail,
                step="time limit",
                seconds=process.seconds,
            )
            return True
        return self._judge(submission, process)

    def _judge(self, submission: SubmissionFolder, process: AttemptProcess) -> bool:
        """Decide by the folder what became of the submission."""
        challenge, claim = self.challenge, self.claim
        end = submission.attempt(claim.job, claim.attempt)
        if end is None:
            reason = f"the evaluator ended with status {process.exit_status} without a word"
            return self._host_fault(submission, reason, "the evaluator")
        if end.ended == "failed" and end.fault != "host":
            fail(
                challenge,
                submission,
                claim,
                fault=end.fault or "organiser",
                detail=end.detail,
                step=end.step,
                seconds=process.seconds,
            )
            return True
        if end.ended == "failed":
            return self._host_fault(submission, end.detail, end.step)
        try:
            result = write_result(challenge, submission, claim.job)
        except HostError:
            raise
        except UserError as error:
            fail(challenge, submission, claim, fault="organiser", detail=str(error), step="scores")
            return True
        score(challenge, submission, claim, result=result.version, seconds=process.seconds)
        return True

    def _keep_claim(self) -> bool:
        """Renew the claim; False if it is lost, not wanted, or the worker ends."""
        if self.stop.is_set():
            return False
        database = self.challenge.database
        try:
            return database.insist(
                lambda: queue.renew(database, self.claim, self.lease),
                seconds=self.lease / 2,
            )
        except HostError:  # nobody can know whether the claim is still held
            return False

    def _host_fault(self, submission: SubmissionFolder, detail: str, step: str) -> bool:
        """The host failed: the submission waits for another attempt, or fails after many.

        If even that cannot be noted, it waits, and the attempt does not count.
        """
        try:
            return self._note_host_fault(submission, detail, step)
        except (UserError, OSError) as error:
            logger.warning(
                "submission %s waits: a fault of the host (%s) could not be noted: %s",
                submission.id,
                detail,
                error,
            )
        database = self.challenge.database
        database.insist(lambda: queue.release(database, self.claim, pause=True))
        return False

    def _note_host_fault(self, submission: SubmissionFolder, detail: str, step: str) -> bool:
        challenge, claim = self.challenge, self.claim
        facts = {"evaluation": claim.job, "attempt": claim.attempt, "step": step, "detail": detail}
        challenge.folder.log.append(
            "host fault", submission=submission.id, actor=claim.worker, facts=facts
        )
        logger.warning("submission %s: fault of the host: %s", submission.id, detail)
        if self._host_faults() >= challenge.definition.limits.host_retries:
            fail(challenge, submission, claim, fault="host", detail=detail, step=step)
            return True
        challenge.database.insist(lambda: queue.release(challenge.database, claim, host_fault=True))
        return False

    def _host_faults(self) -> int:
        database = self.challenge.database
        return database.insist(lambda: queue.host_faults(database, self.claim.submission))

    def _waits_for_approval(self, submission: SubmissionFolder) -> bool:
        """Whether the organiser has not approved it; a worker took it over from its intake."""
        phase = self.challenge.definition.phase(submission.record().phase)
        if phase.approval == "automatic" or self._has_event(submission.id, "approved"):
            return False
        database = self.challenge.database
        database.insist(lambda: queue.release(database, self.claim, queued=False))
        return True

    def _has_event(self, submission: str, name: str) -> bool:
        return any(
            event.submission == submission and event.event == name
            for event in self.challenge.folder.log.events()
        )

    def _waits_for_baseline(self, submission: SubmissionFolder) -> bool:
        """Whether the baseline that replaces its failures has no result yet."""
        database = self.challenge.database
        problem = database.insist(lambda: baseline_problem(self.challenge, submission))
        if problem is None:
            return False
        if problem:
            fail(
                self.challenge,
                submission,
                self.claim,
                fault="organiser",
                detail=problem,
                step="baseline",
            )
        else:
            database.insist(lambda: queue.release(database, self.claim, pause=True))
            time.sleep(0.1)
        return True

    def _drop(self) -> None:
        """Remove a submission whose files were never stored: its intake was killed."""
        drop(self.challenge, self.claim.submission)
        logger.warning("submission %s was received in part only", self.claim.submission)
