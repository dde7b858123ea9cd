"""The pages of ``umd data verify --html``: every scan with its findings, to leaf through.

A page is one file with at most 40 cases. Pictures show subjects: the pages are for those
who may see the data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.datasets.references import load_references
from evaluator.datasets.scan_summary import three_digits
from evaluator.errors import VolumeError
from evaluator.findings import SEVERITIES, count_findings
from evaluator.plain_text import counted
from evaluator.report.context import Page
from evaluator.report.single_page import data_uri, header_of, write_page
from evaluator.report.site import Entry, slug
from evaluator.report.thumbnails import colour_of, draw_thumbnail
from evaluator.volumes import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.datasets.scan_summary import PairSummary, ScanSummary
    from evaluator.datasets.verify import DataCheck
    from evaluator.findings import Finding
    from evaluator.types import Case, Dataset, Scan

#: cases of one page
CASES_OF_PAGE = 40
#: classes of the style sheet by severity
TAGS = {"error": "worse", "warning": "open", "note": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanView:
    """One scan as a page shows it."""

    modality: str
    #: address of the picture; empty: the files cannot be read
    picture: str
    facts: str
    #: name, colour and volume in ml of each reference
    targets: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """One case as a page shows it."""

    name: str
    anchor: str
    findings: tuple[Finding, ...]
    pairs: tuple[PairSummary, ...]
    scans: tuple[ScanView, ...]

    @property
    def counts(self) -> tuple[tuple[str, str], ...]:
        """Count of each severity in words, and the class of its tag."""
        numbers = Counter(finding.severity for finding in self.findings)
        words = []
        for severity in SEVERITIES:
            if number := numbers[severity]:
                words.append((counted(number, severity), TAGS[severity]))
        return tuple(words)


def write_verification(
    dataset: Dataset, check: DataCheck, path: Path, *, threads: int = 1
) -> list[Path]:
    """Write the pages of a check.

    Args:
        dataset: the dataset.
        check: what was found in all of its cases.
        path: file of the first page; further pages are beside it, with a number.
        threads: scans that are read at the same time.

    Returns:
        The files.

    Raises:
        HostError: a file cannot be written.
    """
    findings: dict[str, list[Finding]] = defaultdict(list)
    for finding in check.findings:
        findings[finding.case].append(finding)
    groups = list(_groups(dataset.cases))
    names = [_page_name(path, number) for number in range(len(groups))]
    navigation = []
    for name, cases in zip(names, groups, strict=True):
        navigation.append(Entry(file=name, short=_range(cases)))
    header = header_of(dataset, "Check of the data", navigation)
    overview = [
        _CaseLine(case.id, findings[case.id], name) for case, name in _places(groups, names)
    ]
    written = []
    for number, (name, cases) in enumerate(zip(names, groups, strict=True)):
        with ThreadPoolExecutor(threads) as pool:
            views = list(pool.map(lambda case: _case_view(case, findings[case.id], check), cases))
        context = {
            "dataset": dataset,
            "views": views,
            "overview": [line.cells() for line in overview] if number == 0 else [],
            "of_dataset": findings[""],
            "tags": TAGS,
            "total": count_findings(check.findings),
        }
        page = Page(
            file=name,
            title=f"{dataset.title}: check of the data",
            short=_range(cases),
            template="verification.html",
            context=context,
            nav=name,
        )
        written.append(write_page(path.with_name(name), page, header))
    return written


@dataclass(frozen=True, slots=True)
class _CaseLine:
    """A line of the overview."""

    name: str
    findings: Sequence[Finding]
    page: str

    def cells(self) -> dict[str, str | int]:
        """Name, link, and number of findings of each severity."""
        counted = Counter(str(finding.severity) for finding in self.findings)
        counts = {str(severity): counted[severity] for severity in SEVERITIES}
        return {"name": self.name, "link": f"{self.page}#{slug(self.name)}", **counts}


def _places(groups: Sequence[Sequence[Case]], names: Sequence[str]) -> Iterator[tuple[Case, str]]:
    for cases, name in zip(groups, names, strict=True):
        for case in cases:
            yield case, name


def _groups(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    for start in range(0, max(len(cases), 1), CASES_OF_PAGE):
        yield cases[start : start + CASES_OF_PAGE]


def _page_name(path: Path, number: int) -> str:
    return path.name if number == 0 else f"{path.stem}-{number + 1}{path.suffix}"


def _range(cases: Sequence[Case]) -> str:
    if not cases:
        return "no cases"
    return cases[0].id if len(cases) == 1 else f"{cases[0].id} to {cases[-1].id}"


def _case_view(case: Case, findings: Sequence[Finding], check: DataCheck) -> CaseView:
    summaries = {entry.modality: entry for entry in check.summaries if entry.case == case.id}
    scans = [_scan_view(scan, summaries.get(scan.modality)) for scan in case.scans.values()]
    return CaseView(
        name=case.id,
        anchor=slug(case.id),
        findings=tuple(sorted(findings, key=lambda entry: SEVERITIES.index(entry.severity))),
        pairs=tuple(pair for pair in check.pairs if pair.case == case.id),
        scans=tuple(scans),
    )


def _scan_view(scan: Scan, summary: ScanSummary | None) -> ScanView:
    targets = []
    for number, name in enumerate(scan.targets):
        entry = summary.targets.get(name) if summary else None
        volume = f"{three_digits(entry.volume_ml)} ml" if entry else "empty or not read"
        targets.append((name, colour_of(number), volume))
    return ScanView(
        modality="PET" if scan.modality == "PT" else scan.modality,
        picture=_picture(scan),
        facts=_facts(scan, summary),
        targets=tuple(targets),
    )


def _picture(scan: Scan) -> str:
    try:
        image, grid = read_image(scan.image)
        loaded = load_references(scan).masks
    except (VolumeError, OSError):
        return ""
    if any(mask.grid.shape != grid.shape for mask in loaded.values()):
        return ""
    masks = {name: loaded[name] for name in scan.targets}
    return data_uri(draw_thumbnail(scan.modality, image, grid, masks))


def _facts(scan: Scan, summary: ScanSummary | None) -> str:
    if summary is None:
        return scan.image.name
    shape = " × ".join(map(str, summary.shape))
    steps = " × ".join(f"{size:.3g}" for size in summary.spacing_mm)
    values = f"{scan.unit} from {summary.low:.4g} to {summary.high:.4g}"
    return f"{shape} voxels of {steps} mm, axes {summary.orientation}, {values}"
