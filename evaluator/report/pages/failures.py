"""The failure failure_analysis: how often predictions fail or are poor, what kind of mistake that is, and what it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.failure_modes import FAILURE_MODES
from evaluator.report.context import Page
from evaluator.report.figures.outcomes import outcomes
from evaluator.report.figures.scales import blend
from evaluator.report.tables import SAID, Cell, Column, Table, number, rows_of
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.cases.snapshots import Snapshot
    from evaluator.report.context import Report

#: from none to all: share of predictions
_RAMP = (
    (0xF4, 0xF4, 0xF2),
    (0xF0, 0xC9, 0xA8),
    (0xD9, 0x8B, 0x5F),
    (0xA3, 0x45, 0x2C),
    (0x6E, 0x1C, 0x14),
)
#: messages that are shown for each model
MESSAGES = 3


def make(report: Report, snapshots: Sequence[Snapshot]) -> Page:
    """One page for all benchmarks."""
    return Page(
        file="failures.html",
        nav="failures.html",
        title="Failure failure_analysis",
        short="Failures",
        template="failures.html",
        context={
            "page_parts": [_part(report, benchmark, snapshots) for benchmark in report.benchmarks],
            "poor": report.failure_analysis.poor,
            "kinds": FAILURE_MODES,
            "images": report.options.images,
        },
    )


def _own(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    return frame[
        (frame["dataset"] == benchmark.group.dataset) & (frame["protocol"] == benchmark.protocol.id)
    ]


def _part(report: Report, benchmark: Benchmark, snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    failure_analysis = report.failure_analysis
    cases, counts = (
        _own(failure_analysis.cases, benchmark),
        _own(failure_analysis.counts, benchmark),
    )
    totals = _totals(benchmark, cases)
    told = cases.assign(
        subject=[
            report.privacy.subject(benchmark.group.dataset, str(one)) for one in cases["subject"]
        ],
        detail=cases["detail"].map(
            {one: report.privacy.text(one) for one in cases["detail"].dropna().unique()}
        ),
    ).drop(columns=["case", "mask"])
    report.site.data(
        f"{benchmark.key}.failures",
        f"Failed and poor predictions, {benchmark.short}",
        told,
        benchmark.warnings,
    )
    return {
        "benchmark": benchmark,
        "figure": report.site.figure(
            outcomes(
                totals,
                failure_analysis.poor,
                name=f"{benchmark.key}.outcomes",
                warnings=benchmark.warnings,
            )
        )
        if len(totals)
        else None,
        "kinds": report.site.table(_kinds(benchmark, counts, totals)) if len(counts) else None,
        "targets": report.site.table(_targets(benchmark, counts)) if len(counts) else None,
        "messages": _messages(told),
        "snapshots": [snapshot for snapshot in snapshots if snapshot.benchmark is benchmark],
    }


def _totals(benchmark: Benchmark, cases: pd.DataFrame) -> pd.DataFrame:
    asked = benchmark.group.results.predictions
    asked = asked[~asked["status"].isin(["not-run", "undefined", Status.UNSUPPORTED])]
    last = asked.drop_duplicates(["run", "case", "modality", "target", "seed"], keep="last")
    keys = ["model", "modality"]
    predictions = last.groupby(keys, observed=True).size().rename("predictions")
    failed = cases[cases["status"] != Status.OK].groupby(keys).size().rename("failed")
    poor = cases[cases["status"] == Status.OK].groupby(keys).size().rename("poor")
    rows = pd.DataFrame(predictions).reset_index().astype({"model": str, "modality": str})
    for counted in (failed, poor):
        rows = rows.merge(
            counted.reset_index().astype({"model": str, "modality": str}), on=keys, how="left"
        )
    return rows.fillna({"failed": 0, "poor": 0}).astype({"failed": int, "poor": int})


def _kinds(benchmark: Benchmark, counts: pd.DataFrame, totals: pd.DataFrame) -> Table:
    """Model and modality by kind, as shares of all predictions."""
    found = counts.groupby(["model", "modality", "failure_mode"])["count"].sum()
    order = [
        kind
        for kind in (*FAILURE_MODES, *sorted(set(counts["failure_mode"]) - set(FAILURE_MODES)))
        if kind in set(counts["failure_mode"])
    ]
    rows = []
    for total in rows_of(totals):
        cells = [
            _share(int(found.get((total.model, total.modality, kind), 0)), int(total.predictions))
            for kind in order
        ]
        counted = Cell(text=str(total.predictions), sort=int(total.predictions))
        rows.append([Cell(text=total.model), Cell(text=SAID[total.modality]), counted, *cells])
    return Table(
        name=f"{benchmark.key}.kinds",
        title="Kinds of mistake, % of predictions",
        note="In small print: how many. What the kinds mean stands at the end of this page.",
        columns=[
            Column(title="model", words=True),
            Column(title="modality", words=True),
            Column(title="n", help="predictions"),
            *(
                Column(title=kind, help=FAILURE_MODES.get(kind, "a prediction without a mask"))
                for kind in order
            ),
        ],
        rows=rows,
        data=counts,
        warnings=benchmark.warnings,
    )


def _share(count: int, of: int) -> Cell:
    share = count / of if of else 0.0
    if not count:
        return Cell(text="0", sort=0.0)
    colours = blend(_RAMP, min(share, 1.0) ** 0.5)
    return Cell(
        text=number(100 * share, 0 if share >= 0.1 else 1),
        sort=share,
        small=str(count),
        heat=colours,
    )


def _targets(benchmark: Benchmark, counts: pd.DataFrame) -> Table:
    order = {name: n for n, name in enumerate(benchmark.targets)}
    rows = sorted(
        rows_of(counts), key=lambda r: (r.model, order.get(r.target, 0), r.modality, -r.count)
    )
    return Table(
        name=f"{benchmark.key}.kinds-by-target",
        title="Kinds of mistake by target",
        columns=[
            Column(title="model", words=True),
            Column(title="target", words=True),
            Column(title="modality", words=True),
            Column(title="kind", words=True),
            Column(title="count"),
            Column(title="of"),
            Column(title="%"),
        ],
        rows=[
            [
                Cell(text=row.model),
                Cell(text=row.target),
                Cell(text=SAID[row.modality]),
                Cell(text=row.failure_mode),
                Cell(text=str(row.count), sort=int(row.count)),
                Cell(text=str(row.predictions), sort=int(row.predictions)),
                Cell(text=number(100 * row.share, 1), sort=float(row.share)),
            ]
            for row in rows
        ],
        data=counts,
        warnings=benchmark.warnings,
    )


def _messages(cases: pd.DataFrame) -> list[tuple[str, str, int]]:
    """What was said of failures: model and status, the message, how often; the most frequent ones of each model."""
    said = cases[(cases["status"] != Status.OK) & cases["detail"].notna()]
    counted = said.groupby(["model", "status", "detail"]).size().rename("count").reset_index()
    shown: list[tuple[str, str, int]] = []
    for row in rows_of(counted.sort_values("count", ascending=False, kind="stable")):
        if sum(one[0].startswith(f"{row.model}, ") for one in shown) < MESSAGES:
            shown.append((f"{row.model}, {row.status}", str(row.detail)[:400], int(row.count)))
    return sorted(shown, key=lambda one: one[0])
