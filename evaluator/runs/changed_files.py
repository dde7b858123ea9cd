"""Files of a run folder that somebody changed after the run wrote them.

A record and a score file hold a hash of their content, a record the hash of each of its masks. The
tables are made with ``files.json``, which holds the names, sizes and times of all these files. If
they are the same later, nothing is read. Else each file is hashed. Whoever changes a file and its
hash is not found; no secret protects them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.files import fingerprint
from evaluator.runs.file_states import file_states
from evaluator.runs.json_types import FORMAT, has_recorded_hash, read_typed, write_typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.runs.records import ScanRecord
    from evaluator.runs.store import RunStore

FOLDERS = ("records", "scores", "prompts", "limits", "masks")
#: changed files that a warning names
MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """The state of a run's files when its tables were made: ``files.json``."""

    #: fingerprint of the names, sizes and times of records, scores, prompts, limits and masks
    state: str
    #: files that differed from what the run had written, each with how
    changed: tuple[str, ...] = ()
    format: int = FORMAT


def changed_files(run: RunStore) -> tuple[str, ...]:
    """The files that differ from what the run wrote, each with how it differs.

    Nothing is known of runs that were made before there were hashes of files.
    """
    path = run.path / "files.json"
    if not path.is_file():
        return ()
    recorded, state = read_typed(RunFiles, path), state_of(run)
    return recorded.changed if recorded.state == state else _checked(run, state)


def change_warning(run: RunStore) -> str:
    """What every table of the run must say of its changed files; empty: they are as written."""
    changes = changed_files(run)
    if not changes:
        return ""
    named = "; ".join(changes[:MOST_NAMED])
    more = f"; and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
    count = "1 file differs" if len(changes) == 1 else f"{len(changes)} files differ"
    return (
        f"CHANGED: {count} from what the run wrote ({named}{more}); its figures may not be the "
        "model's. List them with: umd runs verify"
    )


def record_files(run: RunStore) -> None:
    """Write the state of a run's files, and which of them differ from what the run wrote."""
    state = state_of(run)
    write_typed(run.path / "files.json", RunFiles(state=state, changed=_checked(run, state)))


def state_of(run: RunStore) -> str:
    """A hash over name, size and time of every file of a run that has a recorded hash."""
    return fingerprint(list(file_states(run.path, FOLDERS)))


def find_changes(run: RunStore, *, trusted: bool = False) -> Iterator[str]:
    """Hash every file of a run; yields each one that differs, with how it differs.

    Args:
        run: the run.
        trusted: do not hash a file again while its size, times and inode are the same.
    """
    cases: dict[str, None] = {}
    for record in run.records():
        yield from _changes_of_scan(run, record, trusted=trusted)
        cases[record.case] = None
    for case in cases:
        try:
            run.prompts(case)
        except UserError as error:
            yield str(error)


@lru_cache(maxsize=64)
def _checked(run: RunStore, _state: str) -> tuple[str, ...]:
    return tuple(find_changes(run, trusted=True))


def _changes_of_scan(run: RunStore, record: ScanRecord, *, trusted: bool) -> Iterator[str]:
    score_path = run.score_path(record.case, record.modality)
    try:
        for path in (run.record_path(record.case, record.modality), score_path):
            if path.is_file() and not has_recorded_hash(path):
                yield f"{path.relative_to(run.path)}: its content has another hash"
        scores = run.scores(record.case, record.modality)
    except UserError as error:  # a file is damaged
        yield str(error)
    else:
        if scores and scores.key != record.key:
            yield f"{score_path.relative_to(run.path)}: scores of another result"
    for name, problem in run.masks.problems(record.masks(), trusted=trusted).items():
        yield f"{name}: {problem}"
