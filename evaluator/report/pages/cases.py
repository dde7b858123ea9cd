"""Cases: pictures for everyone, and a viewer in the browser where it could be placed into the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.report.cases.images import CaseImages
from evaluator.report.cases.selection import choose
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
    """A list of cases with a page for each, and all pictures; with ``--no-images`` none."""
    if not report.options.images:
        return [], []
    case_images = CaseImages()
    shown = choose(report, picks, report.options.cases)
    contents = [
        (one, content) for one in shown if (content := viewer_content(report, case_images, one))
    ]
    viewer = _viewer(report) if contents else False
    snapshots = {one.file: draw_snapshots(report, case_images, one, picks) for one, _ in contents}
    pages = [_case(one, content, snapshots[one.file], viewer=viewer) for one, content in contents]
    overview = Page(
        file="cases.html",
        nav="cases.html",
        title="Cases",
        short="Cases",
        template="cases.html",
        context={
            "cases": [_line(one, content, snapshots[one.file]) for one, content in contents],
            "viewer": viewer,
            "package": niivue.PACKAGE.spec,
        },
    )
    return [overview, *pages], [snapshot for own in snapshots.values() for snapshot in own]


def _viewer(report: Report) -> bool:
    script = niivue.niivue_script(report.options.niivue)
    if script is None:
        return False
    report.site.bytes("assets/niivue.js", script)
    report.site.text("assets/niivue.LICENSE.txt", niivue.LICENSE)
    return True


def _case(
    shown: CasePage, content: dict[str, Any], snapshots: Sequence[Snapshot], *, viewer: bool
) -> Page:
    warnings = tuple(
        dict.fromkeys(warning for benchmark, _ in shown.runs for warning in benchmark.warnings)
    )
    return Page(
        file=shown.file,
        nav="cases.html",
        title=f"Case {shown.label}",
        short="Cases",
        template="case.html",
        context={
            "content": content,
            "snapshots": snapshots,
            "viewer": viewer,
            "package": niivue.PACKAGE.spec,
            "dataset_title": shown.runs[0][0].title,
            "warnings": warnings,
            "halved": [name for name, scan in content["scans"].items() if scan["halved"]],
        },
    )


def _line(
    shown: CasePage, content: dict[str, Any], snapshots: Sequence[Snapshot]
) -> dict[str, Any]:
    return {
        "file": shown.file,
        "label": shown.label,
        "dataset": shown.runs[0][0].title,
        "scans": list(content["scans"]),
        "runs": len(content["runs"]),
        "snapshots": len(snapshots),
        "snapshot": snapshots[0] if snapshots else None,
    }
