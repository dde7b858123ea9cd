"""Check every file of a dataset for errors and implausible values.

``umd data verify`` prints the findings. ``umd run`` makes the same checks before the first
container and keeps the findings in the run. What was found in a case is cached by the hashes of its
files, so a second run on the same files only hashes them.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.datasets.dataset_checks import check_duplicates, check_modalities, check_names
from evaluator.datasets.scan_checks import check_scan
from evaluator.datasets.session_checks import check_session, register_targets
from evaluator.errors import HostError, UserError
from evaluator.files import current_sha256, fingerprint, read_json, write_json
from evaluator.findings import Finding, Registration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from evaluator.files import Json
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Case, Dataset, Modality, Scan

logger = logging.getLogger(__name__)

#: increased when a check changes; results of earlier checks are then not used
CHECKS_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found in the data of some cases."""

    findings: tuple[Finding, ...] = ()
    registrations: tuple[Registration, ...] = ()
    #: case -> modality -> role ("CT image", "CT reference 0") -> sha256; without missing files
    sha256: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)


def verify(dataset: Dataset) -> list[Finding]:
    """Check hashes, geometry, labels, units, duplicates and pairs, in the order of the cases."""
    return list(check_cases(dataset.cases).findings)


def check_cases(cases: Sequence[Case]) -> DataCheck:
    """Check the files of these cases, and the cases together.

    Args:
        cases: of one dataset.

    Returns:
        the findings in the order of the cases, those of the dataset last.
    """
    findings: list[Finding] = []
    registrations: list[Registration] = []
    sha256: dict[str, dict[str, dict[str, str]]] = {}
    for number, case in enumerate(cases, 1):
        sha256[case.id] = {name: hash_files(scan) for name, scan in case.scans.items()}
        findings += _changed_files(case, sha256[case.id])
        of_case, registered = _check_case(case, sha256[case.id])
        findings += of_case
        registrations += registered
        logger.debug("checked the data of %d of %d cases", number, len(cases))
    findings += check_duplicates(cases, sha256)
    findings += check_modalities(cases)
    findings += check_names(cases)
    return DataCheck(findings=tuple(findings), registrations=tuple(registrations), sha256=sha256)


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


def _check_case(
    case: Case, sha256: Mapping[str, Mapping[str, str]]
) -> tuple[list[Finding], list[Registration]]:
    """The findings of one case, from the cache if its files were checked before."""
    file = paths.cache() / "checks" / f"{_cache_key(case, sha256)}.json"
    cached = _read_cache(file)
    if cached is not None:
        return cached
    masks: dict[Modality, Mapping[str, GridMask]] = {}
    findings: list[Finding] = []
    for modality in case.scans:
        check = check_scan(case, modality)
        findings += check.findings
        masks[modality] = check.masks
    registrations = register_targets(case, masks)
    findings += check_session(case, masks, registrations)
    body: Json = {
        "findings": [asdict(finding) for finding in findings],
        "registrations": [asdict(entry) for entry in registrations],
    }
    with suppress(HostError):  # a cache that cannot be written costs time only
        write_json(file, body)
    return findings, registrations


def _cache_key(case: Case, sha256: Mapping[str, Mapping[str, str]]) -> str:
    """Identifies everything that the checks of a case depend on."""
    scans: Json = {}
    for modality, scan in case.scans.items():
        labels = [dict(reference.labels) for reference in scan.references]
        files = {role: str(path) for role, path in roles_of(scan).items()}
        scans[modality] = [files, dict(sha256[modality]), labels, scan.unit]
    return fingerprint({"version": CHECKS_VERSION, "case": case.id, "scans": scans})


def _read_cache(file: Path) -> tuple[list[Finding], list[Registration]] | None:
    if not file.is_file():
        return None
    try:
        body = read_json(file)
        findings = [Finding(**entry) for entry in body["findings"]]
        return findings, [Registration(**entry) for entry in body["registrations"]]
    except (UserError, KeyError, TypeError):
        return None
