"""Protects a run from data that are faulty, away, or replaced while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from evaluator.datasets.session_checks import is_disjoint
from evaluator.datasets.verify import check_cases, roles_of
from evaluator.errors import DatasetError, HostError, UserError
from evaluator.files import current_sha256
from evaluator.findings import Finding, Registration
from evaluator.runs.data_checks import DataChecks
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evaluator.evaluation.run_context import RunContext
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality

#: errors that are listed when a run is refused
MAX_LISTED = 10
#: errors of these topics do not stop the run: disjoint references stop their case, and each scan of
#: a file that stands for two can be run; every table tells of them
NEVER_STOP = ("registration", "duplicates")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedData:
    """The data of a run, checked before anything is done."""

    checks: DataChecks = field(default_factory=DataChecks)
    #: the cases that were checked
    cases: tuple[str, ...] = ()
    #: case -> modality -> role -> sha256
    sha256: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The errors that stop a run."""
        return tuple(
            finding
            for finding in self.checks.findings
            if finding.severity == "error" and finding.topic not in NEVER_STOP
        )


def check_data(cases: Sequence[Case], *, registered: bool, rehash: bool = False) -> CheckedData:
    """Check the data of these cases.

    Args:
        cases: that will be run.
        registered: the images of a case get one prompt; cases whose references are disjoint are
            then stopped.
        rehash: hash all files anew, whatever their size and times.
    """
    check = check_cases(cases, rehash=rehash)
    stopped = stop_disjoint(check.registrations) if registered else {}
    return CheckedData(
        checks=DataChecks(
            findings=check.findings, registrations=check.registrations, stopped=stopped
        ),
        cases=tuple(case.id for case in cases),
        sha256=check.sha256,
    )


def stop_disjoint(registrations: Iterable[Registration]) -> dict[str, dict[str, str]]:
    """Scans that cannot get one prompt with the others of their case.

    Of three images of a case those two are kept that lie at one place, if there are such.

    Returns:
        case -> modality -> reason.
    """
    disjoint: dict[str, list[Registration]] = {}
    images: dict[str, set[str]] = {}
    for entry in registrations:
        images.setdefault(entry.case, set()).update((entry.first, entry.second))
        if is_disjoint(entry):
            disjoint.setdefault(entry.case, []).append(entry)
    stopped: dict[str, dict[str, str]] = {}
    for case, entries in disjoint.items():
        kept = _largest_group(images[case], {(entry.first, entry.second) for entry in entries})
        stopped[case] = {modality: _describe(entries, modality) for modality in images[case] - kept}
    return stopped


def _largest_group(images: set[str], disjoint: set[tuple[str, str]]) -> set[str]:
    """The largest group of two or more images without a disjoint pair; empty if there is none."""
    ordered = [modality for modality in MODALITIES if modality in images]
    for size in range(len(ordered) - 1, 1, -1):
        for group in combinations(ordered, size):
            if not disjoint & set(combinations(group, 2)):
                return set(group)
    return set()


def _describe(entries: Sequence[Registration], modality: str) -> str:
    for entry in entries:
        if modality in (entry.first, entry.second):
            return (
                f"not registered: the references of {entry.target} on {entry.first} and "
                f"{entry.second} are disjoint, their centres {entry.distance_mm:.1f} mm apart; "
                "register the images, or use --unregistered"
            )
    entry = entries[0]
    return f"not registered: {entry.target} is disjoint on {entry.first} and {entry.second}"


def require_usable(checked: CheckedData, dataset: str, *, force: bool) -> tuple[Finding, ...]:
    """The errors in spite of which the run goes on.

    Raises:
        DatasetError: there are errors, and ``force`` is False.
    """
    if not checked.errors or force:
        return checked.errors
    shown = [f"error: {finding.subject_line}" for finding in checked.errors[:MAX_LISTED]]
    if len(checked.errors) > MAX_LISTED:
        shown.append(f"... and {len(checked.errors) - MAX_LISTED} more")
    lines = "\n  ".join(shown)
    raise DatasetError(
        f"the data of {dataset} have errors, so nothing was run:\n  {lines}\n"
        "Correct them, choose other cases (--case), or run in spite of them with --force, which "
        "every table of the run will tell. `umd data verify` lists all findings."
    )


def require_finished_data(run: RunStore, case: Case, modality: Modality, problem: str) -> None:
    """Refuse to replace a finished scan by one that is not run.

    Args:
        run: the run.
        case: the case.
        modality: of the scan.
        problem: why the scan cannot be run now.

    Raises:
        HostError: the scan is finished in this run.
    """
    try:
        record = run.record(case.id, modality)
    except UserError:
        return
    if record is not None and record.state == "done" and record.rounds:
        raise HostError(
            f"{case.id} {modality} is finished in run {run.name}, but its data cannot be used now: "
            f"{problem}. The finished results are kept. If the data are on a disk that is not "
            "mounted, mount it and run again; else choose another --name"
        )


def require_checked_data(
    context: RunContext, case: Case, modality: Modality, present: Mapping[str, str]
) -> None:
    """Refuse files that are not those that were checked when the run began.

    Args:
        context: of the run.
        case: the case.
        modality: of the scan.
        present: role -> sha256 of the files now; empty if they cannot be used.

    Raises:
        HostError: files were changed, or are away.
    """
    before = context.checked.get(case.id, {}).get(modality)
    if before is None or context.checks.stopped.get(case.id, {}).get(modality):
        return
    scan = case.scans[modality]
    for role, path in roles_of(scan).items():
        if role in before and not path.is_file():
            raise HostError(
                f"{path} was there when the run began and is missing now; finished scans are kept. "
                "Is the disk still mounted? Then run again"
            )
    require_unchanged({role: before[role] for role in present if role in before}, present, case)


def require_same_files(case: Case, files: Mapping[str, str]) -> None:
    """Check at scoring that files are those that were staged.

    Args:
        case: the case.
        files: role -> sha256 at staging.

    Raises:
        HostError: a file was replaced or removed; the scan's results are not recorded.
    """
    present: dict[str, str] = {}
    for scan in case.scans.values():
        for role, path in roles_of(scan).items():
            if role in files:
                try:
                    present[role] = current_sha256(path)
                except OSError:
                    present[role] = "missing"
    require_unchanged(files, present, case)


def require_unchanged(before: Mapping[str, str], now: Mapping[str, str], case: Case) -> None:
    """Raise HostError naming the files whose hashes differ."""
    changed = [role for role, sha256 in before.items() if now.get(role) != sha256]
    if changed:
        raise HostError(
            f"{case.id}: {', '.join(changed)} was changed or removed while the run was going on. "
            "The scan was not recorded; finished scans are kept. Run again to use the files as "
            "they are now"
        )
