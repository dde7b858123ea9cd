"""Who may hand in: names of teams."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from evaluator.challenges.tables import SubmissionRow
from evaluator.errors import UserError

if TYPE_CHECKING:
    from evaluator.challenges.opening import OpenChallenge

TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: the team of the organiser's baseline
BASELINE = "baseline"


def require_team(challenge: OpenChallenge, team: str, source: str) -> None:
    """Refuse a name that cannot take part, or that readers take for another one.

    The baseline's team has no quota, so it hands in the model of ``challenge.toml`` and no other.

    Raises:
        UserError: the team cannot hand this in; the message says why.
    """
    definition = challenge.definition
    if not TEAM.fullmatch(team):
        raise UserError(
            f"team {team!r}: a name has letters, digits and ._- and at most 63 characters"
        )
    if team.casefold() == BASELINE:
        if team == BASELINE and source == definition.ranking.baseline:
            return
        raise UserError(f"team {team}: the name is the organiser's; see: umd challenge baseline")
    if definition.teams and team not in definition.teams:
        raise UserError(f"team {team} does not take part; teams are named in challenge.toml")
    present = _spelling(challenge, team)
    if present != team:
        raise UserError(f"team {team}: the team {present} differs in its case only; use that name")


def _spelling(challenge: OpenChallenge, team: str) -> str:
    """The name as earlier submissions spell it; the given one if there are none."""
    statement = select(SubmissionRow.team).where(func.lower(SubmissionRow.team) == team.lower())

    def read() -> str | None:
        with challenge.database.reading() as session:
            return session.scalar(statement.order_by(SubmissionRow.number).limit(1))

    return challenge.database.insist(read) or team
