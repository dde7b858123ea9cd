"""What was submitted to Slurm for a suite: ``suites/<name>.slurm/submissions.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import UserError
from evaluator.evaluation.suites import SuiteRunResult
from evaluator.files import safe_name
from evaluator.runs.json_types import FORMAT, read_typed, write_typed

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.manifests.suites import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmTask:
    """One task of an array: a shard of a run."""

    dataset: str
    protocol: str
    #: name of the run
    run: str
    #: I/N
    shard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSubmission:
    """One call of sbatch."""

    #: Slurm's number of the job
    job: int
    #: tasks of the array that were submitted
    tasks: tuple[int, ...] = ()
    #: ISO 8601, UTC
    time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmArray:
    """The array of one model."""

    model: str
    #: digest of the image
    image: str
    #: the script, beside this file
    script: str
    tasks: tuple[SlurmTask, ...]
    submissions: tuple[SlurmSubmission, ...] = ()

    def attempts(self, task: int) -> int:
        """How often a task was submitted."""
        return sum(task in submission.tasks for submission in self.submissions)

    def last_job(self, task: int) -> int | None:
        """The job in which a task was submitted the last time."""
        jobs = [entry.job for entry in self.submissions if task in entry.tasks]
        return jobs[-1] if jobs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmRecord:
    """Everything that was submitted for a suite."""

    suite: str
    #: name or absolute path of the suite's manifest
    source: str
    #: the site's settings
    site: dict[str, object]
    arrays: tuple[SlurmArray, ...]
    #: runs that cannot be made, with the reason
    refused: tuple[SuiteRunResult, ...] = ()
    #: jobs that write the tables and the report
    gather: tuple[SlurmSubmission, ...] = ()
    report: tuple[SlurmSubmission, ...] = ()
    #: submissions of arrays that were cut into other shards
    earlier: tuple[SlurmSubmission, ...] = ()
    format: int = FORMAT

    def jobs(self) -> tuple[int, ...]:
        """The numbers of all jobs, oldest first."""
        entries = [*self.gather, *self.report, *self.earlier]
        for array in self.arrays:
            entries += array.submissions
        return tuple(sorted({entry.job for entry in entries}))


def slurm_folder(suite: Suite) -> Path:
    """The folder of a suite's scripts, logs and submissions."""
    return paths.runs() / "suites" / f"{safe_name(suite.name)}.slurm"


def read_slurm_record(suite: Suite) -> SlurmRecord | None:
    """What was submitted for a suite; None if nothing was. Raises UserError."""
    path = slurm_folder(suite) / "submissions.json"
    return read_typed(SlurmRecord, path) if path.is_file() else None


def require_slurm_record(suite: Suite) -> SlurmRecord:
    """As ``read_slurm_record``; raises UserError if nothing was submitted."""
    record = read_slurm_record(suite)
    if record is None:
        raise UserError(
            f"suite {suite.name} was not submitted to Slurm; submit it with: "
            f"umd suite slurm {suite.name}"
        )
    return record


def write_slurm_record(suite: Suite, record: SlurmRecord) -> None:
    """Write what was submitted. Raises HostError."""
    write_typed(slurm_folder(suite) / "submissions.json", record)
