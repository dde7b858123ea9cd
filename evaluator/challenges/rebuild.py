"""Make the database of a challenge from its folder."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete

from evaluator.challenges import quotas
from evaluator.challenges.submitting import new_row
from evaluator.challenges.tables import SubmissionRow, WorkerRow
from evaluator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.challenges.event_log import Event
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What ``rebuild`` found."""

    submissions: int
    #: what the log names and the folder lacks, or the other way round, in sentences
    problems: tuple[str, ...]


def rebuild(challenge: OpenChallenge) -> Rebuilt:
    """Empty the database and fill it from the submissions' files and the log.

    No worker may work on the challenge meanwhile. What was running waits again.

    Raises:
        DamagedFileError: the log or a file of a submission is damaged.
    """
    events: dict[str, list[Event]] = defaultdict(list)
    order: list[str] = []
    for event in challenge.folder.log.events():
        if event.submission:
            events[event.submission].append(event)
        if event.event == "received":
            order.append(event.submission)
    present = set(challenge.folder.ids())
    problems = [
        f"the log has submission {name}, whose files are missing"
        for name in order
        if name not in present
    ]
    unlogged = sorted(present - set(order))
    problems += [f"submission {name} is not in the log; it is taken over" for name in unlogged]
    names = [name for name in (*order, *unlogged) if name in present]
    rows = [_row(challenge, challenge.folder.submission(name), events[name]) for name in names]

    def fill() -> None:
        with challenge.database.writing() as session:
            session.execute(delete(SubmissionRow))
            session.execute(delete(WorkerRow))
            for row in rows:
                session.add(row)
                session.flush()  # numbers follow the order of arrival
            quotas.recount(session)

    fill()
    return Rebuilt(submissions=len(rows), problems=tuple(problems))


def _row(
    challenge: OpenChallenge, submission: SubmissionFolder, events: Sequence[Event]
) -> SubmissionRow:
    record = submission.record()
    if record.id != submission.id:
        raise UserError(f"{submission.record_path} is of submission {record.id}")
    row, facts = new_row(record), _by_name(events)
    check = submission.check()
    row.checked = bool(check and check.accepted)
    row.job = max([1, *submission.jobs(), *_evaluations(facts.get("rerun", ()))])
    outcome = submission.outcome(row.job)
    if outcome:
        row.outcome, row.fault, row.detail = outcome.state, outcome.fault, outcome.detail
    row.attempts = max([0, *submission.attempts(row.job)])
    faults = [past.fault for job in submission.jobs() if (past := submission.outcome(job))]
    row.charged = row.charged and not {"host", "organiser"} & set(faults)
    row.result = len(submission.results())
    row.withdrawn = _last(facts, "withdrawn") > _last(facts, "rerun")
    for event in facts.get("withdrawn", ()):
        row.charged = row.charged and bool(event.facts.get("charged", True))
    if _last(facts, "disqualified") > _last(facts, "reinstated"):
        row.disqualified = str(facts["disqualified"][-1].facts.get("reason", "")) or "no reason"
    phase = challenge.definition.phase(record.phase)
    waits = phase.approval == "organiser" and row.checked and "approved" not in facts
    row.queued = not (outcome or row.withdrawn or waits)
    return row


def _by_name(events: Sequence[Event]) -> Mapping[str, list[Event]]:
    by_name: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_name[event.event].append(event)
    return dict(by_name)


def _evaluations(events: Sequence[Event]) -> list[int]:
    return [int(event.facts.get("evaluation", 1)) for event in events]


def _last(facts: Mapping[str, list[Event]], name: str) -> int:
    """The number of the last line of this kind; 0 without one."""
    return facts[name][-1].number if name in facts else 0
