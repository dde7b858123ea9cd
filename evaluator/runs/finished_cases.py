"""Which cases of a run are finished, so that a call that resumes it need not read their files.

``finished.json`` is written when a run has ended. It holds the state of the run's files (names,
sizes, times) and, for each finished case, a hash over the hashes of its images and references. A
case is finished later if both are the same. Without the file, or after any change in the run
folder, every record and mask is read, as before there was this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.files import fingerprint
from evaluator.metrics.registry import SCORER_VERSION
from evaluator.runs.changed_files import state_of
from evaluator.runs.json_types import FORMAT, read_typed, write_typed

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore

    #: modality -> role -> sha256
    FileHashes = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCases:
    """The finished cases of a run: ``finished.json``."""

    #: hash over names, sizes and times of the run's files when it ended (``state_of``)
    state: str
    #: version of the scorer, and of the rules of floors and ceilings
    scorer: int
    limit_rules: int
    #: scans that were predicted again at most; 0: none
    recheck: int
    #: case -> hash over the hashes of its files
    cases: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


def write_finished_cases(run: RunStore, *, limit_rules: int, recheck: int) -> None:
    """Write which cases are finished: those whose scans are all done. Raises HostError."""
    scans: dict[str, dict[str, Mapping[str, str]]] = {}
    unfinished: set[str] = set()
    for record in run.records():
        scans.setdefault(record.case, {})[record.modality] = record.files
        if record.state != "done" or not record.key:
            unfinished.add(record.case)
    cases = {case: hash_of_files(of) for case, of in scans.items() if case not in unfinished}
    finished = FinishedCases(
        state=state_of(run),
        scorer=SCORER_VERSION,
        limit_rules=limit_rules,
        recheck=recheck,
        cases=cases,
    )
    write_typed(run.path / "finished.json", finished)


def read_finished_cases(run: RunStore, *, limit_rules: int, recheck: int) -> Mapping[str, str]:
    """Case -> hash over the hashes of its files, of the cases that need not be looked at again.

    Args:
        run: the run.
        limit_rules: version of the rules of floors and ceilings.
        recheck: scans to predict again.

    Returns:
        Nothing if the run folder has changed since, or was finished under other rules.
    """
    path = run.path / "finished.json"
    try:
        finished = read_typed(FinishedCases, path) if path.is_file() else None
    except UserError:
        return {}
    if finished is None or (finished.scorer, finished.limit_rules) != (SCORER_VERSION, limit_rules):
        return {}
    if finished.recheck < recheck or finished.state != state_of(run):
        return {}
    return finished.cases


def hash_of_files(files: FileHashes) -> str:
    """One hash over the hashes of all files of a case."""
    return fingerprint({modality: dict(hashes) for modality, hashes in files.items()})
