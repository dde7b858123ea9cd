"""Findings about data: what ``umd data verify`` prints and what a run keeps.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluator.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Depth = Literal["headers", "quick", "full"]
"""How thorough a check is.

headers: files, grids, headers and names; no voxel is read.
quick: also hashes, values, labels and registration; the checks before each run.
full: also units by organs, anatomy, storage, duplicates by content, and bodies of pairs.
"""

DEPTHS: tuple[Depth, ...] = ("headers", "quick", "full")

Topic = Literal[
    "files",
    "header",
    "values",
    "labels",
    "anatomy",
    "names",
    "duplicates",
    "session",
    "registration",
]
"""What a finding is about.

files: missing, unreadable or changed files, and references on another grid than their image.
header: places and directions that a header states twice, not at all, or unlike its image.
values: values that are implausible for the unit.
labels: contents of references.
anatomy: place, volume and completeness of organs.
names: targets that ``manifests/organs.toml`` does not know.
duplicates: one file that stands for two scans.
session: what the images of a case have in common.
registration: references of one target that lie at different places on two images.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem of a scan, or of the dataset.

    error: the scan cannot be used; warning: it should be inspected; note: for information.
    """

    severity: Severity
    #: id of the case; empty: the dataset
    case: str
    #: empty: the case, or the dataset
    modality: str
    #: the file with the problem; empty: none
    path: str
    message: str
    topic: Topic = "files"

    @property
    def subject_line(self) -> str:
        """The scan and the message, for a terminal."""
        place = " ".join(filter(None, (self.case, self.modality)))
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Where the references of one target lie on two images of a case."""

    case: str
    target: str
    #: modalities of the two images
    first: str
    second: str
    #: between the centres of the references, mm; where an image cuts one, of what both show
    distance_mm: float
    #: distances above this are too large for one place, mm
    limit_mm: float
    #: part of the smaller reference that lies in the other, 0 to 1; 0: they are disjoint
    overlap: float
    #: volume of the second reference, relative to the first
    volume_ratio: float


def summarise_findings(findings: Iterable[Finding]) -> list[str]:
    """Errors and warnings in few lines: the first of each topic, and how many there are like it."""
    groups: dict[tuple[Severity, Topic], list[Finding]] = {}
    for severity in SEVERITIES[:2]:
        for finding in findings:
            if finding.severity == severity:
                groups.setdefault((severity, finding.topic), []).append(finding)
    lines = []
    for (severity, topic), group in groups.items():
        others = f" ({len(group) - 1} more {severity}s about {topic})" if len(group) > 1 else ""
        lines.append(f"{severity}: {group[0].subject_line}{others}")
    return lines


def count_findings(findings: Sequence[Finding]) -> str:
    """How many findings of each severity there are, such as "1 error, 0 warnings, 2 notes"."""
    counts = []
    for severity in SEVERITIES:
        number = sum(finding.severity == severity for finding in findings)
        counts.append(counted(number, severity))
    return ", ".join(counts)
