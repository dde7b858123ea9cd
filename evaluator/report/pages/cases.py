"""Cases: pictures for everyone, and a viewer in the browser where it could be placed into the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.report.cases.images import CaseImages
from evaluator.report.cases.selection import choose
from evaluator.report.cases.snapshots import draw_plates
from evaluator.report.cases.viewer_data import viewer_content
from evaluator.report.context import Page
from evaluator.report.viewer import niivue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.report.cases.selection import Pick, Shown
    from evaluator.report.cases.snapshots import Plate
    from evaluator.report.context import Report


def make(report: Report, picks: Sequence[Pick]) -> tuple[list[Page], list[Plate]]:
    """A list of cases with a page for each, and all pictures; with ``--no-images`` none."""
    if not report.options.images:
        return [], []
    archive = CaseImages()
    shown = choose(report, picks, report.options.cases)
    contents = [
        (one, content) for one in shown if (content := viewer_content(report, archive, one))
    ]
    viewer = _viewer(report) if contents else False
    plates = {one.file: draw_plates(report, archive, one, picks) for one, _ in contents}
    pages = [_case(one, content, plates[one.file], viewer=viewer) for one, content in contents]
    overview = Page(
        file="cases.html",
        nav="cases.html",
        title="Cases",
        short="Cases",
        template="cases.html",
        context={
            "cases": [_line(one, content, plates[one.file]) for one, content in contents],
            "viewer": viewer,
            "package": niivue.PACKAGE.spec,
        },
    )
    return [overview, *pages], [plate for own in plates.values() for plate in own]


def _viewer(report: Report) -> bool:
    script = niivue.niivue_script(report.options.niivue)
    if script is None:
        return False
    report.site.bytes("assets/niivue.js", script)
    report.site.text("assets/niivue.LICENSE.txt", niivue.LICENSE)
    return True


def _case(shown: Shown, content: dict[str, Any], plates: Sequence[Plate], *, viewer: bool) -> Page:
    stamps = tuple(dict.fromkeys(stamp for study, _ in shown.runs for stamp in study.stamps))
    return Page(
        file=shown.file,
        nav="cases.html",
        title=f"Case {shown.label}",
        short="Cases",
        template="case.html",
        context={
            "content": content,
            "plates": plates,
            "viewer": viewer,
            "package": niivue.PACKAGE.spec,
            "dataset_title": shown.runs[0][0].title,
            "stamps": stamps,
            "halved": [name for name, scan in content["scans"].items() if scan["halved"]],
        },
    )


def _line(shown: Shown, content: dict[str, Any], plates: Sequence[Plate]) -> dict[str, Any]:
    return {
        "file": shown.file,
        "label": shown.label,
        "dataset": shown.runs[0][0].title,
        "scans": list(content["scans"]),
        "runs": len(content["runs"]),
        "plates": len(plates),
        "plate": plates[0] if plates else None,
    }
