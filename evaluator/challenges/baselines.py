"""The organiser's baseline, whose scores replace failures where the ranking says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from evaluator.challenges.results import baseline_result
from evaluator.challenges.submitting import submit
from evaluator.challenges.tables import SubmissionRow
from evaluator.challenges.teams import BASELINE

if TYPE_CHECKING:
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge


def submit_baselines(challenge: OpenChallenge) -> list[str]:
    """Hand the baseline in for every track of the open phase that lacks it.

    Returns:
        the ids of the new submissions.

    Raises:
        UserError: no phase is open.
    """
    model = challenge.definition.ranking.baseline
    if not model:
        return []
    phase = challenge.definition.open_phase()
    with challenge.database.reading() as session:
        present = set(
            session.scalars(
                select(SubmissionRow.track).where(
                    SubmissionRow.team == BASELINE, SubmissionRow.phase == phase.name
                )
            )
        )
    return [
        submit(challenge, model, team=BASELINE, track=track.name)
        for track in challenge.definition.tracks
        if track.name not in present
    ]


def baseline_problem(challenge: OpenChallenge, submission: SubmissionFolder) -> str | None:
    """Why a submission cannot be evaluated before its baseline.

    Returns:
        None: it can be. Empty: the baseline is on its way. Else why there will be none.
    """
    record = submission.record()
    if challenge.definition.ranking.failures != "baseline" or record.baseline:
        return None
    if baseline_result(challenge, record.track, record.phase) is not None:
        return None
    with challenge.database.reading() as session:
        rows = session.scalars(
            select(SubmissionRow).where(
                SubmissionRow.team == BASELINE,
                SubmissionRow.phase == record.phase,
                SubmissionRow.track == record.track,
            )
        ).all()
        if any(row.queued for row in rows):
            return ""
    state = "failed" if rows else "was not handed in"
    return f"the baseline of track {record.track} {state}; hand it in: umd challenge baseline"
