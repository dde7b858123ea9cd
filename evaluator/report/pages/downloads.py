"""Everything to take away: figures, tables, and the figures of every comparison as CSV."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.report.context import Page

if TYPE_CHECKING:
    from evaluator.report.context import Report


def make(report: Report) -> Page:
    """To be made last: it lists what the other pages kept."""
    for field in fields(report.comparison):
        frame = getattr(report.comparison, field.name)
        if isinstance(frame, pd.DataFrame) and len(frame):
            report.site.data(
                f"all.{field.name}", f"All benchmarks: {field.name}", frame, report.warnings
            )
    return Page(
        file="downloads.html",
        nav="downloads.html",
        title="Downloads",
        short="Downloads",
        template="downloads.html",
        context={
            "kinds": [
                (kind, heading, [item for item in report.site.downloads if item[0] == kind])
                for kind, heading in (
                    ("data", "Comparisons"),
                    ("tables", "Tables"),
                    ("figures", "Figures"),
                )
            ]
        },
    )
