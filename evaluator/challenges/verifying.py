"""Check that nothing of a challenge was changed: the log's chain, and the results' signatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.challenges.event_log import ChainCheck, verify_chain
from evaluator.challenges.folder import all_submissions
from evaluator.challenges.result_file import ChallengeResult
from evaluator.challenges.signed_results import result_problem
from evaluator.errors import UserError
from evaluator.plain_text import clean_text
from evaluator.runs.json_types import read_typed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from evaluator.challenges.folder import ChallengeFolder, SubmissionFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What ``verify_challenge`` found."""

    chain: ChainCheck
    #: results whose signature is right
    results: int
    #: what is wrong, in sentences
    problems: tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.chain.broken_line is None and not self.problems


def verify_challenge(
    folder: ChallengeFolder, *, public_key: Path | None = None, known_head: str | None = None
) -> Verification:
    """Check every line of the log and every result.

    Args:
        folder: of the challenge.
        public_key: file of the key; None: the folder's own, which says less.
        known_head: hash of a line of the log that was noted earlier.
    """
    chain = verify_chain(folder.log_path, known_head)
    log = _read_log(folder) if chain.broken_line is None else None
    problems, intact = [], 0
    for submission in all_submissions(folder):
        if log is not None:
            problems += _changed_facts(submission, log)
        for path in submission.results():
            problem = _result_problem(submission, path, public_key or folder.public_key, log)
            if problem:
                problems.append(f"{path}: {problem}")
            else:
                intact += 1
    if log is not None:
        problems += [
            f"the log tells of submission {name}, whose files are missing"
            for name in sorted(set(log.received) - set(folder.ids()))
        ]
        problems += [
            f"the log tells of result {number} of submission {name}, which is missing"
            for name, number in sorted(log.results)
            if not (folder.submissions / name / "results" / f"{number}.json").is_file()
        ]
    return Verification(chain=chain, results=intact, problems=tuple(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Logged:
    """What an intact log tells."""

    #: id -> facts of its arrival
    received: dict[str, Mapping[str, Any]]
    #: id and number of each result
    results: set[tuple[str, int]]


def _read_log(folder: ChallengeFolder) -> _Logged:
    received, results = {}, set()
    for event in folder.log.events():
        if event.event == "received":
            received[event.submission] = event.facts
        elif event.event in ("scored", "rescored"):
            results.add((event.submission, int(event.facts.get("result", 0))))
    return _Logged(received=received, results=results)


def _changed_facts(submission: SubmissionFolder, log: _Logged) -> list[str]:
    """Facts of a submission that are others than when it arrived."""
    logged = log.received.get(submission.id)
    if logged is None:  # its intake was killed before the line was written
        return []
    try:
        record = submission.record()
    except UserError as error:
        return [str(error)]
    return [
        f"{submission.record_path}: {name} is {clean_text(str(getattr(record, name)), 80)!r}, "
        f"and was {clean_text(str(logged[name]), 80)!r}"
        for name in ("team", "track", "phase", "archive_sha256")
        if name in logged and getattr(record, name) != logged[name]
    ]


def _result_problem(
    submission: SubmissionFolder, path: Path, key: Path, log: _Logged | None
) -> str:
    """What is wrong with a result; empty: nothing. A right signature may be of another place."""
    problem = result_problem(path, key)
    if problem:
        return problem
    result, number = read_typed(ChallengeResult, path), int(path.stem)
    if (result.submission, result.version) != (submission.id, number):
        return f"it is result {result.version} of submission {result.submission}"
    if log is not None and (submission.id, number) not in log.results:
        return "the log does not tell of this result"
    return ""
