"""Which submissions a board shows: one of each team, with results that can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluator.challenges.leaderboard_scores import make_score_table
from evaluator.challenges.result_file import ChallengeResult, ResultMetric
from evaluator.challenges.signing import load_public_key, read_signed
from evaluator.challenges.teams import BASELINE
from evaluator.errors import UserError
from evaluator.files import file_sha256
from evaluator.metrics.metric_table import METRICS
from evaluator.runs.json_types import read_typed
from evaluator.statistics import rank_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.challenges.definition import Ranking
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.states import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A scored submission."""

    status: Status
    #: absent: it cannot be read, or its signature is wrong
    result: ChallengeResult | None
    #: of the result's file
    sha256: str = ""
    #: why it cannot be ranked; empty: it can
    reason: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether it is the organiser's."""
        return self.status.team == BASELINE


def read_candidates(
    challenge: OpenChallenge, statuses: Sequence[Status], ranking: Ranking
) -> list[Candidate]:
    """Read the newest results of scored submissions of one track and phase.

    A result whose signature is wrong is not used, and no earlier one instead of it.
    """
    read = [_read(challenge, status) for status in statuses if status.state == "scored"]
    valid = [candidate for candidate in read if candidate.result]
    teams = [candidate for candidate in valid if not candidate.is_baseline]
    if not valid:
        return read
    newest = max(teams or valid, key=_time)
    return [_compared(candidate, newest, ranking) for candidate in read]


def _read(challenge: OpenChallenge, status: Status) -> Candidate:
    try:
        paths = challenge.folder.submission(status.id).results()
        if not paths:
            return Candidate(status=status, result=None, reason="its result is missing")
        read_signed(paths[-1], load_public_key(challenge.folder.public_key))
        result = read_typed(ChallengeResult, paths[-1])
    except UserError as error:
        return Candidate(status=status, result=None, reason=str(error))
    same = (result.submission, result.team, result.track, result.phase)
    if same != (status.id, status.team, status.track, status.phase):
        return Candidate(status=status, result=None, reason="its result is of another submission")
    return Candidate(status=status, result=result, sha256=file_sha256(paths[-1]))


def _time(candidate: Candidate) -> tuple[str, str]:
    return (candidate.result.scored if candidate.result else "", candidate.status.id)


def _compared(candidate: Candidate, newest: Candidate, ranking: Ranking) -> Candidate:
    """The candidate with the reason why it cannot be compared with the newest one."""
    result, other = candidate.result, newest.result
    if result is None or other is None:
        return candidate
    present = {metric.name for metric in result.metrics}
    missing = [metric.name for metric in ranking.metrics if metric.name not in present]
    reason = ""
    if result.digests.dataset != other.digests.dataset:
        reason = "it was scored on another version of the hidden data"
    elif result.digests.protocol != other.digests.protocol:
        reason = "it was scored under another version of the protocol"
    elif result.scorer != other.scorer:
        reason = f"it was scored by scorer {result.scorer}, not {other.scorer}"
    elif missing:
        reason = f"it was scored without {', '.join(missing)}"
    elif not candidate.is_baseline and result.failures != ranking.failures:
        reason = f'its failures count as "{result.failures}"'
    elif not (candidate.is_baseline or newest.is_baseline) and result.baseline != other.baseline:
        reason = "its failures count as those of another result of the baseline"
    return Candidate(status=candidate.status, result=result, sha256=candidate.sha256, reason=reason)


def ranked_metrics(ranking: Ranking) -> tuple[ResultMetric, ...]:
    """The metrics of a ranking with their directions."""
    return tuple(
        ResultMetric(name=row.name, direction=METRICS[row.name].direction, weight=row.weight)
        for row in ranking.metrics
    )


def choose(candidates: Sequence[Candidate], ranking: Ranking) -> list[Candidate]:
    """One submission of each team, in the order of the teams' names; the baseline last."""
    by_team: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.result and not candidate.reason:
            by_team.setdefault(candidate.status.team, []).append(candidate)
    chosen = []
    for team in sorted(by_team, key=lambda name: (name == BASELINE, name)):
        present = by_team[team]
        is_best = ranking.counts == "best" and team != BASELINE and len(present) > 1
        chosen.append(_best(present, ranking) if is_best else present[-1])
    return chosen


def _best(candidates: Sequence[Candidate], ranking: Ranking) -> Candidate:
    """The best of one team's submissions by the ranking's rule; of equal ones the newest."""
    results = [candidate.result for candidate in candidates if candidate.result]
    table = make_score_table(results, ranked_metrics(ranking))
    scores = table.tasks()
    if np.isnan(scores).any(axis=2).all():
        return candidates[-1]
    order = rank_models(scores, table.weights(), resamples=1).orders[ranking.order]
    last = len(candidates) - 1 - int(np.argmin(order.place[::-1]))
    return candidates[last]
