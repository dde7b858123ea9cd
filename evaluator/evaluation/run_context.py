"""What all scans of a run share, and what is known of a case's files."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from evaluator.datasets import scan_problem
from evaluator.datasets.verify import roles_of
from evaluator.errors import DatasetError, HostError, VolumeError
from evaluator.files import current_sha256
from evaluator.runs.data_checks import DataChecks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evaluator.containers.contracts import Contract
    from evaluator.containers.engines.spec import Workspace
    from evaluator.evaluation.plan import Plan
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality, Scan
    from evaluator.volumes import MaskValidator


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What all scans of a run share."""

    plan: Plan
    #: id -> case
    cases: Mapping[str, Case]
    run: RunStore
    workspace: Workspace
    validator: MaskValidator
    #: secret of the run: makes the names that containers see meaningless
    salt: str
    #: prompts and clicks are taken from this run
    replay: RunStore | None = None
    #: None: the contract of the model's card
    contract: Contract | None = None
    #: what was found in the data before the first request
    checks: DataChecks = field(default_factory=DataChecks)
    #: case -> modality -> role -> sha256 of the files that were checked
    checked: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    #: both scans of a case need its prompts: one simulates them, the other reads them
    prompts_lock: threading.Lock = field(default_factory=threading.Lock)
    #: called when a scan has ended: case, modality, how (done, done before, unsupported, not run)
    progress: Callable[[str, Modality, str], None] = lambda *_: None

    def read_files(self, case: Case) -> CaseFiles:
        """The files of a case as they are now."""
        return read_case_files(case, self.checks.stopped.get(case.id, {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFiles:
    """The files of a case."""

    #: modality -> role ("CT image", "CT reference 0") -> sha256
    sha256: Mapping[Modality, Mapping[str, str]]
    #: modality -> why the scan cannot be used
    problems: Mapping[Modality, str]

    @property
    def usable(self) -> dict[Modality, Mapping[str, str]]:
        """The files of scans without a problem."""
        return {
            modality: hashes
            for modality, hashes in self.sha256.items()
            if modality not in self.problems
        }


def read_case_files(case: Case, stopped: Mapping[str, str] = MappingProxyType({})) -> CaseFiles:
    """Check a case's headers and hash its files; a scan that cannot be used is no error.

    Args:
        case: the case.
        stopped: modality -> why the scan is not run although its files can be used.
    """
    hashes: dict[Modality, dict[str, str]] = {}
    problems: dict[Modality, str] = {}
    for modality, scan in case.scans.items():
        try:
            problem = stopped.get(modality) or scan_problem(scan)
            hashes[modality] = {} if problem else _hashes(scan)
        except (VolumeError, DatasetError, OSError) as error:
            problem = str(error)
        if problem:
            problems[modality] = problem
    return CaseFiles(sha256=hashes, problems=problems)


def require_unchanged(case: Case, modality: Modality, files: Mapping[str, str]) -> None:
    """Check that a scan's files have the hashes that were taken before the model was asked.

    Args:
        case: the case.
        modality: the scan.
        files: role -> sha256.

    Raises:
        HostError: a file was changed or removed; its results belong to no known file.
    """
    try:
        present = _hashes(case.scans[modality])
    except (DatasetError, OSError) as error:
        raise HostError(
            f"{case.id} {modality}: a file was changed or removed while the run used it ({error}); "
            "the scan is not recorded: run again"
        ) from None
    changed = [role for role, sha256 in files.items() if present.get(role) != sha256]
    if changed:
        raise HostError(
            f"{case.id} {modality}: {', '.join(changed)} was changed while the run used it; "
            "the scan is not recorded: run again"
        )


def _hashes(scan: Scan) -> dict[str, str]:
    hashes = {role: current_sha256(path) for role, path in roles_of(scan).items()}
    declared = [scan.sha256, *(reference.sha256 for reference in scan.references)]
    for expected, (role, sha256) in zip(declared, hashes.items(), strict=True):
        if expected not in (None, sha256):
            raise DatasetError(
                f"{role}: the file differs from the one that the dataset's case list was made "
                "with (sha256 differs)"
            )
    return hashes
