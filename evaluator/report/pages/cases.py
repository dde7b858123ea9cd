"""Cases: snapshots, and an interactive viewer if its package is available."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.report.cases.images import CaseImages
from evaluator.report.cases.selection import choose_cases
from evaluator.report.cases.snapshots import draw_snapshots
from evaluator.report.cases.viewer_data import viewer_content
from evaluator.report.context import Page
from evaluator.report.viewer import niivue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.report.cases.selection import CasePage, Pick
    from evaluator.report.cases.snapshots import Snapshot
    from evaluator.report.context import Report


def make(report: Report, picks: Sequence[Pick]) -> tuple[list[Page], list[Snapshot]]:
    """Make the list of cases with a page for each, and all snapshots; none with ``--no-images``."""
    if not report.options.images:
        return [], []
    case_images = CaseImages()
    contents = []
    for case in choose_cases(report, picks, report.options.cases):
        content = viewer_content(report, case_images, case)
        if content:
            contents.append((case, content))
    viewer = _add_viewer(report) if contents else False
    pages, lines = [], []
    all_snapshots: list[Snapshot] = []
    for case, content in contents:
        snapshots = draw_snapshots(report, case_images, case, picks)
        all_snapshots += snapshots
        lines.append(_line(case, content, snapshots))
        pages.append(_page(case, content, snapshots, viewer=viewer))
    overview = Page(
        file="cases.html",
        nav="cases.html",
        title="Cases",
        short="Cases",
        template="cases.html",
        context={"cases": lines, "viewer": viewer, "package": niivue.PACKAGE.spec},
    )
    return [overview, *pages], all_snapshots


def _add_viewer(report: Report) -> bool:
    """Copy the viewer into the report; False if it is not available."""
    script = niivue.niivue_script(report.options.niivue)
    if script is None:
        return False
    report.site.bytes("assets/niivue.js", script)
    report.site.text("assets/niivue.LICENSE.txt", niivue.LICENSE)
    return True


def _page(
    case: CasePage, content: dict[str, Any], snapshots: Sequence[Snapshot], *, viewer: bool
) -> Page:
    warnings: dict[str, None] = {}
    for benchmark, _ in case.runs:
        warnings.update(dict.fromkeys(benchmark.warnings))
    return Page(
        file=case.file,
        nav="cases.html",
        title=f"Case {case.label}",
        short="Cases",
        template="case.html",
        context={
            "content": content,
            "snapshots": snapshots,
            "viewer": viewer,
            "package": niivue.PACKAGE.spec,
            "dataset_title": case.runs[0][0].title,
            "warnings": tuple(warnings),
            "halved": [name for name, scan in content["scans"].items() if scan["halved"]],
        },
    )


def _line(case: CasePage, content: dict[str, Any], snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    return {
        "file": case.file,
        "label": case.label,
        "dataset": case.runs[0][0].title,
        "scans": list(content["scans"]),
        "runs": len(content["runs"]),
        "snapshots": len(snapshots),
        "snapshot": snapshots[0] if snapshots else None,
    }
