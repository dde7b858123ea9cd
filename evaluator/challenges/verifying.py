"""Check that nothing of a challenge was changed: the log's chain, and the results' signatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.challenges.event_log import ChainCheck, verify_chain
from evaluator.challenges.folder import all_submissions
from evaluator.challenges.signed_results import result_problem

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.folder import ChallengeFolder


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
    problems, intact = [], 0
    logged = set()
    if chain.broken_line is None:
        for event in folder.log.events():
            if event.event in ("scored", "rescored"):
                logged.add((event.submission, int(event.facts.get("result", 0))))
    for submission in all_submissions(folder):
        for path in submission.results():
            problem = result_problem(path, public_key or folder.public_key)
            if problem:
                problems.append(f"{path}: {problem}")
            elif chain.broken_line is None and (submission.id, int(path.stem)) not in logged:
                problems.append(f"{path}: the log does not tell of this result")
            else:
                intact += 1
    problems += [
        f"the log tells of result {number} of submission {name}, which is missing"
        for name, number in sorted(logged)
        if not (folder.submissions / name / "results" / f"{number}.json").is_file()
    ]
    return Verification(chain=chain, results=intact, problems=tuple(problems))
