"""Checks of a dataset as such: names of targets, files used twice, modalities that are missing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from evaluator.findings import Finding
from evaluator.manifests.organs import load_organs
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from evaluator.datasets.scan_summary import ScanSummary
    from evaluator.findings import Severity
    from evaluator.types import Case, Dataset, ExpectedCounts

    #: case -> modality -> role ("CT image", "CT reference 0") -> sha256
    Hashes = Mapping[str, Mapping[str, Mapping[str, str]]]


def check_names(cases: Sequence[Case]) -> Iterator[Finding]:
    """Findings about targets whose names are not those of ``manifests/organs.toml``."""
    organs = load_organs()
    targets: dict[str, None] = {}
    for case in cases:
        for scan in case.scans.values():
            targets |= dict.fromkeys(scan.targets)
    unknown = []
    for target in targets:
        organ = organs.find(target)
        if organ is None:
            near = organs.near(target)
            unknown.append(f"{target} (similar: {', '.join(near)})" if near else target)
        elif organ != target:
            message = (
                f"target {target} is taken as {organ}, whose NSD tolerance is "
                f"{organs.tolerance_mm(target):g} mm; a model with a list of targets knows it only "
                f"as {organ}"
            )
            yield _of_dataset("note", message)
    if unknown:
        message = (
            f"targets that organs.toml does not know: {', '.join(unknown)}. Their NSD tolerance is "
            f"{organs.default_tolerance_mm:g} mm by default, and models that go by name may not "
            "know them (umd organs lists the names)"
        )
        yield _of_dataset("warning", message)


def check_duplicates(cases: Sequence[Case], hashes: Hashes) -> Iterator[Finding]:
    """Images that stand for two scans: an error, but a note for two sessions of one subject."""
    owners: dict[str, tuple[str, Case]] = {}
    for case in cases:
        for modality, scan in case.scans.items():
            name = f"{case.id} {modality}"
            sha256 = hashes[case.id][modality].get(f"{modality} image")
            if not sha256:
                continue
            owner, first = owners.setdefault(sha256, (name, case))
            if owner != name:
                yield Finding(
                    severity=_severity(case, first),
                    case=case.id,
                    modality=modality,
                    path=str(scan.image),
                    message=f"the image is the same file as the image of {owner}",
                    topic="duplicates",
                )


def check_content(cases: Sequence[Case], summaries: Iterable[ScanSummary]) -> Iterator[Finding]:
    """Images and references of two scans that hold the same voxels in different files.

    An error, but a note for two sessions of one subject, whose images may share a reference.

    Args:
        cases: of the dataset.
        summaries: of their scans.
    """
    by_id = {case.id: case for case in cases}
    images: dict[str, ScanSummary] = {}
    references: dict[str, ScanSummary] = {}
    for summary in summaries:
        case = by_id[summary.case]
        scan = case.scans[summary.modality]
        first = images.setdefault(summary.image_hash, summary)
        if first is not summary:
            message = f"the image holds the same values as the image of {_name(first)}"
            yield _of_scan(_severity(case, by_id[first.case]), summary, str(scan.image), message)
        if not summary.reference_hash:
            continue
        first = references.setdefault(summary.reference_hash, summary)
        # one mask of a session may serve several images on one grid
        if first.case != summary.case:
            message = f"the references hold the same voxels as those of {_name(first)}"
            path = str(scan.references[0].path)
            yield _of_scan(_severity(case, by_id[first.case]), summary, path, message)


def _severity(case: Case, first: Case) -> Severity:
    """Of what two scans have in common: sessions of one subject may share files."""
    is_shared = case.subject == first.subject and case.session != first.session
    return "note" if is_shared else "error"


def _name(summary: ScanSummary) -> str:
    return f"{summary.case} {summary.modality}"


def _of_scan(severity: Severity, summary: ScanSummary, path: str, message: str) -> Finding:
    return Finding(
        severity=severity,
        case=summary.case,
        modality=summary.modality,
        path=path,
        message=message,
        topic="duplicates",
    )


def check_counts(dataset: Dataset) -> Iterator[Finding]:
    """What is missing to a complete copy of the dataset, if its manifest states that."""
    if dataset.expected is None:
        return
    scans: dict[str, set[str]] = {}
    targets: set[str] = set()
    for case in dataset.cases:
        scans.setdefault(case.subject, set()).update(case.scans)
        for scan in case.scans.values():
            targets.update(scan.targets)
    for message in count_differences(dataset.expected, list(scans.values()), targets):
        yield Finding(
            severity="warning", case="", modality="", path="", message=message, topic="session"
        )


def count_differences(
    expected: ExpectedCounts, subjects: Sequence[Collection[str]], targets: Collection[str]
) -> list[str]:
    """In what counts a copy differs from a complete one, as sentences.

    Args:
        expected: of a complete copy.
        subjects: the modalities of each subject.
        targets: names of all targets.
    """
    pairs = {
        "PET and CT": (expected.pet_ct, sum({"PT", "CT"} <= set(names) for names in subjects)),
        "PET and MR": (expected.pet_mr, sum({"PT", "MR"} <= set(names) for names in subjects)),
    }
    lines = []
    for name, (complete, present) in pairs.items():
        if complete is not None and complete != present:
            words = counted(present, "subject has", "subjects have")
            lines.append(f"{words} {name}; a complete copy has {complete}")
    if expected.targets is not None and expected.targets != len(targets):
        lines.append(f"{counted(len(targets), 'target')}; a complete copy has {expected.targets}")
    return lines


def check_modalities(cases: Sequence[Case]) -> Iterator[Finding]:
    """Cases that lack a modality which other cases have beside the same ones."""
    counts = Counter(frozenset(case.scans) for case in cases)
    for case in cases:
        present = frozenset(case.scans)
        larger = max((other for other in counts if present < other), key=len, default=None)
        if larger is None:
            continue
        missing = " and ".join(sorted(larger - present))
        count = sum(number for other, number in counts.items() if larger <= other)
        message = (
            f"no {missing} image, which {count} of {counted(len(cases), 'case')} have, so means of "
            "the modalities are over different subjects"
        )
        yield Finding(
            severity="note",
            case=case.id,
            modality="",
            path="",
            message=message,
            topic="session",
        )


def _of_dataset(severity: Severity, message: str) -> Finding:
    return Finding(
        severity=severity,
        case="",
        modality="",
        path="",
        message=message,
        topic="names",
    )
