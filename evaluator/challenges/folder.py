"""The folder of a challenge: the record of everything that happened; the database is its index.

    challenge.toml                                   the definition
    log.jsonl                                        every change, chained by hashes
    challenge.db                                     the index, unless another database is named
    public-key.pem                                   the key that verifies results
    private/signing-key.pem, private/salt            read by the organiser only
    submissions/<id>/submission.json                 what was handed in
    submissions/<id>/image.tar                       the archive, if one was handed in
    submissions/<id>/check.json                      what its inspection found
    submissions/<id>/evaluations/<job>/attempts/<n>.json, <n>.log
    submissions/<id>/evaluations/<job>/outcome.json  how the evaluation ended
    submissions/<id>/results/<n>.json                signed results, the newest last
    runs/<id>.<job>.probe, runs/<id>.<job>.hidden    run folders (docs/run-format.md)
    models/<id>.toml                                 the image as a model
    incoming/                                        archives that are being received

Paths are built here and nowhere else.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from evaluator.challenges.event_log import EventLog
from evaluator.challenges.records import AttemptEnd, CheckRecord, Outcome, SubmissionRecord
from evaluator.challenges.signing import PRIVATE_NAME, PUBLIC_NAME
from evaluator.errors import UnknownNameError, write_fault
from evaluator.files import Json, safe_name, write_json
from evaluator.runs.json_types import dump, read_typed, write_typed
from evaluator.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChallengeFolder:
    """The files of a challenge."""

    path: Path

    @property
    def log(self) -> EventLog:
        """The log of every change."""
        return EventLog(self.log_path)

    @property
    def log_path(self) -> Path:
        """The file of the log."""
        return self.path / "log.jsonl"

    @property
    def database_path(self) -> Path:
        """The file of the SQLite database."""
        return self.path / "challenge.db"

    @property
    def signing_key(self) -> Path:
        """The secret key that signs results."""
        return self.path / "private" / PRIVATE_NAME

    @property
    def public_key(self) -> Path:
        """The key that verifies results."""
        return self.path / PUBLIC_NAME

    @property
    def salt(self) -> Path:
        """The secret that pseudonyms and orders of cases depend on."""
        return self.path / "private" / "salt"

    @property
    def runs(self) -> Path:
        """The run folders."""
        return self.path / "runs"

    @property
    def models(self) -> Path:
        """The definitions of submitted images as models."""
        return self.path / "models"

    @property
    def incoming(self) -> Path:
        """Archives that are being received."""
        return self.path / "incoming"

    @property
    def submissions(self) -> Path:
        """One folder for each submission."""
        return self.path / "submissions"

    def submission(self, submission: str) -> SubmissionFolder:
        """The files of a submission.

        Raises:
            UnknownNameError: there is none with this id.
        """
        folder = SubmissionFolder(self.submissions / safe_name(submission), self.runs)
        if not folder.record_path.is_file():
            raise UnknownNameError(
                "submission", submission, self.ids(), listed_by="umd challenge status"
            )
        return folder

    def ids(self) -> list[str]:
        """The ids of all submissions, sorted."""
        return sorted(path.parent.name for path in self.submissions.glob("*/submission.json"))


@dataclass(frozen=True, slots=True)
class SubmissionFolder:
    """The files of one submission."""

    path: Path
    #: the challenge's folder of runs
    runs: Path

    @property
    def id(self) -> str:
        """The submission's id."""
        return self.path.name

    @property
    def record_path(self) -> Path:
        """The file that says what was handed in."""
        return self.path / "submission.json"

    @property
    def archive(self) -> Path:
        """The archive of the image; absent if a reference was handed in."""
        return self.path / "image.tar"

    def record(self) -> SubmissionRecord:
        """What was handed in."""
        return read_typed(SubmissionRecord, self.record_path)

    def check(self) -> CheckRecord | None:
        """What the inspection found; None before it."""
        return _read(CheckRecord, self.path / "check.json")

    def write_check(self, check: CheckRecord) -> None:
        """Write what the inspection found."""
        write_typed(self.path / "check.json", check)

    def attempt_path(self, job: int, attempt: int) -> Path:
        """The file of one attempt."""
        return self._evaluation(job) / "attempts" / f"{attempt}.json"

    def attempt_log(self, job: int, attempt: int) -> Path:
        """What the evaluator printed in an attempt."""
        return self._evaluation(job) / "attempts" / f"{attempt}.log"

    def attempt(self, job: int, attempt: int) -> AttemptEnd | None:
        """How an attempt ended, in its own words; None if it left none."""
        return _read(AttemptEnd, self.attempt_path(job, attempt))

    def attempts(self, job: int) -> list[int]:
        """The numbers of the attempts that left a file, ascending."""
        names = {path.stem for path in (self._evaluation(job) / "attempts").glob("*.*")}
        return sorted(int(name) for name in names if name.isdigit())

    def outcome(self, job: int) -> Outcome | None:
        """How an evaluation ended; None if it did not."""
        return _read(Outcome, self._evaluation(job) / "outcome.json")

    def write_outcome(self, job: int, outcome: Outcome) -> bool:
        """Write how an evaluation ended; False if it had ended before, which stays."""
        return write_once(self._evaluation(job) / "outcome.json", outcome)

    def set_outcome_aside(self, job: int) -> Path:
        """Rename an ``outcome.json`` that cannot be read; returns its new path.

        Raises:
            HostError: it cannot be renamed.
        """
        path = self._evaluation(job) / "outcome.json"
        aside = path.with_name("outcome.json.damaged")
        try:
            path.replace(aside)
        except OSError as error:
            raise write_fault(path, error) from error
        return aside

    def jobs(self) -> list[int]:
        """The numbers of the evaluations that were begun, ascending."""
        names = [path.name for path in (self.path / "evaluations").glob("*")]
        return sorted(int(name) for name in names if name.isdigit())

    def _evaluation(self, job: int) -> Path:
        return self.path / "evaluations" / str(job)

    def result_path(self, number: int) -> Path:
        """The file of a result."""
        return self.path / "results" / f"{number}.json"

    def results(self) -> list[Path]:
        """The files of all results, oldest first."""
        paths = (self.path / "results").glob("*.json")
        return sorted((p for p in paths if p.stem.isdigit()), key=lambda path: int(path.stem))

    def run_name(self, job: int, part: str) -> str:
        """The name of the run of a part: "probe" or "hidden"."""
        return f"{self.id}.{job}.{part}"

    def run(self, job: int, part: str) -> RunStore | None:
        """The run of a part; None if it was not begun."""
        store = RunStore(self.runs / safe_name(self.run_name(job, part)))
        return store if (store.path / "run.json").is_file() else None


def write_once(path: Path, value: Any) -> bool:
    """Write a JSON file unless it exists; of several processes, one succeeds.

    Raises:
        HostError: the file cannot be written.
    """
    return write_json_once(path, dump(value))


def write_json_once(path: Path, body: Json) -> bool:
    """As ``write_once``, of plain JSON values."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    write_json(part, body)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise write_fault(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return True


def _read(kind: type[T], path: Path) -> T | None:
    return read_typed(kind, path) if path.is_file() else None


def all_submissions(folder: ChallengeFolder) -> Iterator[SubmissionFolder]:
    """The files of every submission, by id."""
    for submission in folder.ids():
        yield folder.submission(submission)
