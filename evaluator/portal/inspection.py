"""Inspect a submission in a process that is not the portal's.

Reading an archive of 20 GB takes minutes, and a stranger wrote it. The portal goes on answering
meanwhile, and after a crash. A worker then inspects the submission again.

    python -m evaluator.portal.inspection FOLDER SUBMISSION JOB ATTEMPT CLAIMANT
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from evaluator.challenges import queue
from evaluator.challenges.opening import open_challenge
from evaluator.challenges.queue import Claim
from evaluator.challenges.submitting import inspect_received
from evaluator.portal.processes import run_module

if TYPE_CHECKING:
    from evaluator.challenges.opening import OpenChallenge

logger = logging.getLogger(__name__)

#: processes at the same time
MOST_PROCESSES = 2


class Inspector:
    """Inspects submissions, some at the same time."""

    def __init__(self, challenge: OpenChallenge) -> None:
        self._challenge = challenge
        self._free = asyncio.Semaphore(MOST_PROCESSES)

    async def inspect(self, claim: Claim) -> None:
        """Inspect a submission; if that fails, a worker does it."""
        done = False
        try:
            async with self._free:
                done = await self._run(claim)
        except asyncio.CancelledError:  # the server ends; nothing follows the inspection
            logger.warning("submission %s: a worker will inspect it", claim.submission)
        except OSError:
            logger.exception("submission %s: the inspection did not start", claim.submission)
        finally:
            if not done:
                await run_in_threadpool(queue.release, self._challenge.database, claim)

    async def _run(self, claim: Claim) -> bool:
        words = [str(self._challenge.folder.path), claim.submission, str(claim.job)]
        words += [str(claim.attempt), claim.worker]
        status = await run_module("evaluator.portal.inspection", words, self._challenge)
        if status != 0:
            logger.error("submission %s: the inspection ended with %s", claim.submission, status)
        return status == 0


def main() -> None:
    """Inspect the submission that the arguments name."""
    folder, submission, job, attempt, worker = sys.argv[1:]
    challenge = open_challenge(Path(folder))
    claim = Claim(submission=submission, job=int(job), attempt=int(attempt), worker=worker)
    try:
        inspect_received(challenge, claim)
    finally:
        challenge.close()


if __name__ == "__main__":
    main()
