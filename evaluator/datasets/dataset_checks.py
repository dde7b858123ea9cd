"""Checks of a dataset as such: names of targets, files used twice, modalities that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.findings import Finding
from evaluator.manifests.organs import load_organs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evaluator.findings import Severity
    from evaluator.types import Case

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
    """Images that stand for two scans."""
    owners: dict[str, str] = {}
    for case in cases:
        for modality, scan in case.scans.items():
            name = f"{case.id} {modality}"
            sha256 = hashes[case.id][modality].get(f"{modality} image")
            if sha256 and (owner := owners.setdefault(sha256, name)) != name:
                yield Finding(
                    severity="error",
                    case=case.id,
                    modality=modality,
                    path=str(scan.image),
                    message=f"the image is the same file as the image of {owner}",
                    topic="duplicates",
                )


def check_modalities(cases: Sequence[Case]) -> Iterator[Finding]:
    """Cases that lack a modality which other cases have beside the same ones."""
    sets = [frozenset(case.scans) for case in cases]
    for case, present in zip(cases, sets, strict=True):
        larger = max((other for other in sets if present < other), key=len, default=None)
        if larger is None:
            continue
        missing = " and ".join(sorted(larger - present))
        count = sum(larger <= other for other in sets)
        message = (
            f"no {missing} image; {count} of {len(cases)} cases have one, so means of the "
            "modalities are over different subjects"
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
