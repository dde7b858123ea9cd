"""Check every file of a dataset for errors and implausible values.

``umd data verify`` prints the findings. ``umd run`` makes the quick checks before the first
container and keeps the findings in the run. What was found in a case is cached by the hashes of its
files, so a second run on the same files only hashes them.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.datasets.dataset_checks import (
    check_content,
    check_duplicates,
    check_modalities,
    check_names,
)
from evaluator.datasets.pair_checks import check_pairs, summarise_pairs
from evaluator.datasets.scan_checks import check_scan
from evaluator.datasets.scan_summary import PairSummary, ScanSummary, TargetSummary
from evaluator.datasets.session_checks import check_session, register_targets
from evaluator.datasets.stored_hashes import stored_hashes
from evaluator.errors import HostError, UserError
from evaluator.files import current_sha256, fingerprint, read_json, write_json
from evaluator.findings import Finding, Registration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from evaluator.files import Json
    from evaluator.findings import Depth
    from evaluator.imaging.body_masks import Body
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Case, Dataset, Modality, Scan

    Hashes = Mapping[str, Mapping[str, str]]

logger = logging.getLogger(__name__)

#: increased when a check changes; results of earlier checks are then not used
CHECKS_VERSION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found in the data of some cases."""

    findings: tuple[Finding, ...] = ()
    registrations: tuple[Registration, ...] = ()
    #: case -> modality -> role ("CT image", "CT reference 0") -> sha256; without missing files
    sha256: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    #: only of full checks
    pairs: tuple[PairSummary, ...] = ()
    summaries: tuple[ScanSummary, ...] = ()


@dataclass(slots=True, kw_only=True)
class _CaseCheck:
    """What was found in one case."""

    findings: list[Finding] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    pairs: list[PairSummary] = field(default_factory=list)
    summaries: list[ScanSummary] = field(default_factory=list)
    sha256: dict[str, dict[str, str]] = field(default_factory=dict)


def verify(dataset: Dataset, depth: Depth = "quick") -> list[Finding]:
    """Check hashes, geometry, labels, units, duplicates and pairs, in the order of the cases."""
    return list(check_cases(dataset.cases, depth).findings)


def check_cases(
    cases: Sequence[Case],
    depth: Depth = "quick",
    *,
    threads: int = 1,
    done: Callable[[int], None] | None = None,
    rehash: bool = False,
) -> DataCheck:
    """Check the files of these cases, and the cases together.

    Args:
        cases: of one dataset.
        depth: how thorough.
        threads: cases that are checked at the same time; each holds one image in memory.
        done: called with the number of cases that are checked.
        rehash: hash all files anew, also those whose size and times are those of an earlier hash.

    Returns:
        the findings in the order of the cases, those of the dataset last.
    """
    checks: list[_CaseCheck] = []
    files = [] if depth == "headers" else _files_of(cases)
    with stored_hashes(files, rehash=rehash), ThreadPoolExecutor(threads) as pool:
        for number, check in enumerate(pool.map(partial(_check_case, depth=depth), cases), 1):
            checks.append(check)
            logger.debug("checked the data of %d of %d cases", number, len(cases))
            if done:
                done(number)
    findings = [finding for check in checks for finding in check.findings]
    summaries = [summary for check in checks for summary in check.summaries]
    sha256 = {case.id: check.sha256 for case, check in zip(cases, checks, strict=True)}
    duplicates = list(check_duplicates(cases, sha256))
    duplicated = {(finding.case, finding.modality) for finding in duplicates}
    findings += duplicates
    for finding in check_content(cases, summaries):
        if (finding.case, finding.modality) not in duplicated:
            findings.append(finding)
    findings += check_modalities(cases)
    findings += check_names(cases)
    return DataCheck(
        findings=tuple(findings),
        registrations=tuple(entry for check in checks for entry in check.registrations),
        sha256=sha256,
        pairs=tuple(pair for check in checks for pair in check.pairs),
        summaries=tuple(summaries),
    )


def hash_files(scan: Scan) -> dict[str, str]:
    """sha256 of a scan's files by role ("CT image", "CT reference 0"), without missing files."""
    hashes: dict[str, str] = {}
    for role, path in roles_of(scan).items():
        with suppress(OSError):  # reported with the scan
            hashes[role] = current_sha256(path)
    return hashes


def roles_of(scan: Scan) -> dict[str, Path]:
    """The files of a scan by role."""
    roles = {f"{scan.modality} image": scan.image}
    for number, reference in enumerate(scan.references):
        roles[f"{scan.modality} reference {number}"] = reference.path
    return roles


def _files_of(cases: Iterable[Case]) -> list[Path]:
    """All files of these cases, each once."""
    files: dict[Path, None] = {}
    for case in cases:
        for scan in case.scans.values():
            files |= dict.fromkeys(roles_of(scan).values())
    return list(files)


def _changed_files(case: Case, sha256: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Files that differ from those that the case list was made with."""
    for modality, scan in case.scans.items():
        declared = [scan.sha256, *(reference.sha256 for reference in scan.references)]
        for expected, (role, path) in zip(declared, roles_of(scan).items(), strict=True):
            actual = sha256[modality].get(role)
            if expected and actual and actual != expected:
                yield Finding(
                    severity="error",
                    case=case.id,
                    modality=modality,
                    path=str(path),
                    message=f"{path.name} differs from the file in the case list (sha256)",
                )


def _check_case(case: Case, depth: Depth) -> _CaseCheck:
    """What is found in one case; from the cache if its files were checked before."""
    if depth == "headers":
        check = _examine(case, depth)
        check.sha256 = {name: {} for name in case.scans}
        return check
    sha256 = _hashes_of(case)
    file = paths.cache() / "checks" / f"{_cache_key(case, sha256, depth)}.json"
    case_check = _read_cache(file)
    if case_check is None:
        case_check = _examine(case, depth)
        after = _hashes_of(case)
        if after != sha256:
            case_check.findings.append(_changed_meanwhile(case, sha256, after))
            case_check.sha256 = after
            return case_check
        body: Json = {
            "findings": [asdict(finding) for finding in case_check.findings],
            "registrations": [asdict(entry) for entry in case_check.registrations],
            "pairs": [asdict(pair) for pair in case_check.pairs],
            "summaries": [asdict(summary) for summary in case_check.summaries],
        }
        with suppress(HostError):  # a cache that cannot be written costs time only
            write_json(file, body)
    case_check.findings = [*_changed_files(case, sha256), *case_check.findings]
    case_check.sha256 = sha256
    return case_check


def _hashes_of(case: Case) -> dict[str, dict[str, str]]:
    """Modality -> role -> sha256."""
    return {name: hash_files(scan) for name, scan in case.scans.items()}


def _changed_meanwhile(case: Case, before: Hashes, after: Hashes) -> Finding:
    """The finding on a case whose files were changed by another program; it is not cached."""
    modality = next(name for name in case.scans if before[name] != after[name])
    return Finding(
        severity="error",
        case=case.id,
        modality=modality,
        path=str(case.scans[modality].image),
        message="files changed while they were read; check again when nothing writes to them",
        topic="files",
    )


def _examine(case: Case, depth: Depth) -> _CaseCheck:
    """Check the files of one case."""
    case_check = _CaseCheck()
    masks: dict[Modality, Mapping[str, GridMask]] = {}
    bodies: dict[Modality, Body] = {}
    for modality in case.scans:
        check = check_scan(case, modality, depth)
        case_check.findings += check.findings
        masks[modality] = check.masks
        if check.summary:
            case_check.summaries.append(check.summary)
        if check.body:
            bodies[modality] = check.body
    case_check.registrations = register_targets(case, masks)
    case_check.findings += check_session(case, masks, case_check.registrations)
    if depth == "full":
        case_check.pairs = summarise_pairs(case, bodies, case_check.registrations)
        case_check.findings += check_pairs(case, case_check.pairs)
    return case_check


def _cache_key(case: Case, sha256: Hashes, depth: Depth) -> str:
    """Identifies everything that the checks of a case depend on."""
    scans: Json = {}
    for modality, scan in case.scans.items():
        labels = [dict(reference.labels) for reference in scan.references]
        files = {role: str(path) for role, path in roles_of(scan).items()}
        scans[modality] = [files, dict(sha256[modality]), labels, scan.unit]
    body: Json = {"version": CHECKS_VERSION, "depth": depth, "case": case.id, "scans": scans}
    return fingerprint(body)


def _read_cache(file: Path) -> _CaseCheck | None:
    if not file.is_file():
        return None
    try:
        body = read_json(file)
        return _CaseCheck(
            findings=[Finding(**entry) for entry in body["findings"]],
            registrations=[Registration(**entry) for entry in body["registrations"]],
            pairs=[PairSummary(**entry) for entry in body["pairs"]],
            summaries=[_read_summary(entry) for entry in body["summaries"]],
        )
    except (UserError, KeyError, TypeError):
        return None


def _read_summary(body: dict[str, Any]) -> ScanSummary:
    targets = {}
    for name, entry in body.pop("targets").items():
        entry |= {key: tuple(entry[key]) for key in ("centre_mm", "values")}
        targets[name] = TargetSummary(**entry)
    body |= {key: tuple(body[key]) for key in ("shape", "spacing_mm", "values")}
    return ScanSummary(**body, targets=targets)
