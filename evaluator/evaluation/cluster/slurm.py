"""Slurm's commands: sbatch, squeue, sacct and scancel, and what they print."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import HostError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: s until a command of Slurm is given up
PATIENCE = 60
#: states of tasks that Slurm has not ended
ACTIVE = frozenset(
    ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "SUSPENDED", "RESIZING",
     "REQUEUE_FED", "REQUEUE_HOLD", "SIGNALING", "STAGE_OUT", "STOPPED", "SPECIAL_EXIT")
)  # fmt: skip
_TASKS = re.compile(r"^(\d+)(?:_(\d+|\[([^\]%]*)(?:%\d+)?\]))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One task of an array, or a job without tasks, as Slurm sees it."""

    job: int
    #: None: the job is no array
    task: int | None
    #: such as PENDING, RUNNING, NODE_FAIL
    state: str
    #: why it waits, or how it ended
    reason: str = ""
    node: str = ""

    @property
    def active(self) -> bool:
        """Whether Slurm has it waiting or running."""
        return self.state in ACTIVE


def has_slurm() -> bool:
    """Whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def submit(script: Path, options: Sequence[str] = ()) -> int:
    """Submit a script.

    Returns:
        Slurm's number of the job.

    Raises:
        UserError: this machine has no Slurm, or Slurm refuses the script; with its message.
        HostError: Slurm's controller does not answer.
    """
    words = ["sbatch", "--parsable", *options, str(script)]
    ended = _call(words)
    if ended.returncode:
        message = ended.stderr.strip() or f"status {ended.returncode}"
        raise UserError(f"Slurm refuses {script.name}: {message}")
    return int(ended.stdout.strip().split(";")[0])


def cancel(jobs: Sequence[int], *, state: str = "") -> None:
    """Cancel jobs; those that have ended are passed over.

    Args:
        jobs: Slurm's numbers.
        state: only tasks in this state; empty: all.

    Raises:
        UserError: this machine has no Slurm.
        HostError: Slurm's controller does not answer.
    """
    if jobs:
        _call(["scancel", *([f"--state={state}"] if state else []), *map(str, jobs)])


def task_states(jobs: Sequence[int]) -> dict[tuple[int, int | None], TaskState]:
    """Job and task -> the state of each task that Slurm still knows.

    ``squeue`` tells of tasks that wait, run, or ended minutes ago; ``sacct`` tells of older ones
    where the site keeps accounts.

    Raises:
        UserError: this machine has no Slurm.
        HostError: Slurm's controller does not answer.
    """
    states: dict[tuple[int, int | None], TaskState] = {}
    if not jobs:
        return states
    for entry in _accounts(jobs):
        states[entry.job, entry.task] = entry
    numbers = set(jobs)
    # all jobs of the user: a list with an unknown number would be refused
    # --array: without it, a long list of waiting tasks ends in "..."
    words = ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%r|%N"]
    ended = _call(words)
    if ended.returncode:
        raise HostError(f"squeue failed: {ended.stderr.strip()}; try again later")
    for entry in parse_squeue(ended.stdout):
        if entry.job in numbers:
            states[entry.job, entry.task] = entry
    return states


def parse_squeue(output: str) -> list[TaskState]:
    """The tasks in lines of ``squeue --format=%i|%T|%r|%N``; a line may stand for several."""
    entries: list[TaskState] = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 4:
            continue
        entries += _entries(parts[0], parts[1], "" if parts[2] == "None" else parts[2], parts[3])
    return entries


def parse_sacct(output: str) -> list[TaskState]:
    """The tasks in lines of ``sacct --parsable2 --format=JobID,State,ExitCode,NodeList``."""
    entries: list[TaskState] = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 4:
            continue
        state = parts[1].split(" ")[0]  # "CANCELLED by 1000"
        reason = "" if parts[2] == "0:0" else f"exit {parts[2]}"
        entries += _entries(parts[0], state, reason, parts[3])
    return entries


def _entries(name: str, state: str, reason: str, node: str) -> list[TaskState]:
    match = _TASKS.match(name)
    if match is None:
        return []
    job, task, listed = match.groups()
    numbers: list[int | None] = [None]
    if listed is not None:
        numbers = list(expand_tasks(listed))
    elif task is not None:
        numbers = [int(task)]
    return [
        TaskState(job=int(job), task=number, state=state, reason=reason, node=node)
        for number in numbers
    ]


def expand_tasks(text: str) -> list[int]:
    """The numbers of a list such as 0-2,5 or 0-8:2."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        span, _, step = part.partition(":")
        low, _, high = span.partition("-")
        numbers += range(int(low), int(high or low) + 1, int(step or 1))
    return numbers


def _accounts(jobs: Sequence[int]) -> list[TaskState]:
    """What ``sacct`` tells; nothing where the site keeps no accounts."""
    if shutil.which("sacct") is None:
        return []
    words = ["sacct", "--allocations", "--noheader", "--parsable2", "--array"]
    words += ["--format=JobID,State,ExitCode,NodeList", f"--jobs={','.join(map(str, jobs))}"]
    ended = _call(words)
    return [] if ended.returncode else parse_sacct(ended.stdout)


def _call(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except FileNotFoundError:
        raise UserError(
            f"this machine has no {words[0]}: submit from a login node of the cluster, "
            "or write the scripts alone with --dry-run"
        ) from None
    except subprocess.TimeoutExpired:
        raise HostError(f"{words[0]} did not answer in {PATIENCE} s; try again later") from None
    message = ended.stderr.strip()
    if ended.returncode and "Unable to contact slurm controller" in message:
        raise HostError(f"Slurm's controller does not answer ({message}); try again later")
    return ended
