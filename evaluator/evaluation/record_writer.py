"""What a scan's record says beside its rounds: which files, done before or not, refused, or not run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from evaluator.datasets import scan_problem
from evaluator.errors import DatasetError, UserError, VolumeError
from evaluator.evaluation.plan import scan_key
from evaluator.files import read_json, write_json
from evaluator.scoring.masks import score_failures
from evaluator.scoring.rescore import score_record
from evaluator.scoring.rows import rows_not_run, score_rows, write_scores
from evaluator.volumes import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from evaluator.containers.engines.spec import Workspace
    from evaluator.evaluation.plan import Plan
    from evaluator.files import Json
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Failure, Modality, Scan
    from evaluator.volumes import MaskValidator


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What all conversations of a run share."""

    plan: Plan
    run: RunStore
    workspace: Workspace
    gate: MaskValidator
    #: makes the names that containers see meaningless; of the run
    salt: str
    #: prompts and clicks are taken from this run
    replay: RunStore | None = None
    #: two scans of a case are prepared at once, and both need its prompts: one draws them, the other reads them
    drawing: threading.Lock = field(default_factory=threading.Lock)
    #: told of each scan as it ends: case, modality, how (done, done before, unsupported, not run)
    progress: Callable[[str, Modality, str], None] = lambda *_: None


def scan_files(case: Case) -> tuple[dict[Modality, dict[str, str]], dict[Modality, str]]:
    """sha256 of each scan's files by role, and why a scan cannot be used."""
    files: dict[Modality, dict[str, str]] = {}
    problems: dict[Modality, str] = {}
    for modality, scan in case.scans.items():
        try:
            problem = scan_problem(scan)
            files[modality] = {} if problem else _hashes(modality, scan)
        except (VolumeError, DatasetError, OSError) as error:
            problem = str(error)
        if problem:
            problems[modality] = problem
    return files, problems


def _hashes(modality: Modality, scan: Scan) -> dict[str, str]:
    hashes = {f"{modality} image": _sha256(scan.image)}
    hashes |= {
        f"{modality} reference {n}": _sha256(own.path) for n, own in enumerate(scan.references)
    }
    declared = [scan.sha256, *(own.sha256 for own in scan.references)]
    for wanted, (role, found) in zip(declared, hashes.items(), strict=True):
        if wanted not in (None, found):
            raise DatasetError(
                f"{role}: the file is not the one that the dataset's case list was made of (sha256 differs)"
            )
    return hashes


def done_before(room: RunContext, case: Case, modality: Modality, key: str) -> bool:
    """Is there an intact record of this very scan; its scores are made again if they are not of it."""
    path = room.run.record_path(case.id, modality)
    if not path.exists():
        return False
    try:
        record = read_json(path)
        if (
            record.get("key") != key
            or record.get("state") != "done"
            or not room.run.masks_are_intact(record)
        ):
            return False
        scores = room.run.score_path(case.id, modality)
        if not scores.exists() or read_json(scores).get("key") != key:
            score_record(room.run, record, case, modality, room.plan.protocol)
    except (UserError, KeyError):
        return False  # a damaged record is no record: the scan is done again
    room.progress(case.id, modality, "done before")
    return True


def record_not_run(room: RunContext, case: Case, modality: Modality, reason: str) -> None:
    """The data allow no fair question about this scan; it is looked at again when the run goes on."""
    body = heading(case, modality, "") | {"state": "not-run", "reason": reason}
    write_json(room.run.record_path(case.id, modality), body)
    write_scores(
        room.run, case.id, modality, "", rows_not_run(room.plan.protocol, case.scans[modality])
    )
    room.progress(case.id, modality, f"not run: {reason}")


def record_refusal(
    room: RunContext,
    case: Case,
    modality: Modality,
    files: Mapping[Modality, Mapping[str, str]],
    why: Failure,
) -> None:
    """Every target of the scan is unsupported, for each seed; the model is not asked."""
    key = scan_key(room.plan, files[modality], {"refused": why.detail})
    refused = dict.fromkeys(case.scans[modality].targets, why)
    entries = [
        {"seed": seed, "round": 0, "targets": {target: failed(why) for target in refused}}
        for seed in room.plan.protocol.seeds
    ]
    body = {"state": "done", "files": files[modality], "no_prompt": {}, "rounds": entries}
    write_json(room.run.record_path(case.id, modality), heading(case, modality, key) | body)
    scores = score_failures(refused, room.plan.protocol, case.scans[modality])
    rows = [row for seed in room.plan.protocol.seeds for row in score_rows(seed, 0, scores)]
    write_scores(room.run, case.id, modality, key, rows)
    room.progress(case.id, modality, f"unsupported: {why.detail}")


def heading(case: Case, modality: Modality, key: str) -> Json:
    """What every record begins with."""
    return {
        "case": case.id,
        "subject": case.subject,
        "session": case.session,
        "modality": modality,
        "key": key,
    }


def failed(why: Failure) -> Json:
    """A target's entry when there is no mask."""
    return {"status": str(why.status), "detail": why.detail}


def _sha256(path: Path) -> str:
    about = path.stat()
    return _sha256_of(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of(path: Path, _size: int, _mtime: int) -> str:
    """Both scans of a case need the hashes of all of its files."""
    return file_sha256(path)
