"""Failures: how often predictions fail or are poor, with which failure mode, and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.failure_modes import FAILURE_MODES
from evaluator.report.context import Page
from evaluator.report.figures.outcomes import outcomes
from evaluator.report.figures.scales import blend
from evaluator.report.tables import MODALITY_NAMES, Cell, Column, Table, number, rows_of
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.cases.snapshots import Snapshot
    from evaluator.report.context import Report

#: colours for a share of predictions from 0 to 1
_RAMP = (
    (0xF4, 0xF4, 0xF2),
    (0xF0, 0xC9, 0xA8),
    (0xD9, 0x8B, 0x5F),
    (0xA3, 0x45, 0x2C),
    (0x6E, 0x1C, 0x14),
)
#: error messages that are shown for each model
MESSAGES = 3
_MODEL_AND_MODALITY = ["model", "modality"]


def make(report: Report, snapshots: Sequence[Snapshot]) -> Page:
    """Make one page for all benchmarks."""
    return Page(
        file="failures.html",
        nav="failures.html",
        title="Failure analysis",
        short="Failures",
        template="failures.html",
        context={
            "page_parts": [_part(report, benchmark, snapshots) for benchmark in report.benchmarks],
            "poor": report.failure_analysis.poor,
            "failure_modes": FAILURE_MODES,
            "images": report.options.images,
        },
    )


def _part(report: Report, benchmark: Benchmark, snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    site, analysis = report.site, report.failure_analysis
    warnings = benchmark.warnings
    cases, counts = _rows(analysis.cases, benchmark), _rows(analysis.counts, benchmark)
    totals = _totals(benchmark, cases)
    public = _without_ids(report, benchmark, cases)
    title = f"Failed and poor predictions, {benchmark.short}"
    site.data(f"{benchmark.key}.failures", title, public, warnings)
    part: dict[str, Any] = {
        "benchmark": benchmark,
        "figure": None,
        "failure_modes": None,
        "targets": None,
        "messages": _messages(public),
        "snapshots": [snapshot for snapshot in snapshots if snapshot.benchmark is benchmark],
    }
    if len(totals):
        name = f"{benchmark.key}.outcomes"
        figure = outcomes(totals, analysis.poor, name=name, warnings=warnings)
        part["figure"] = site.figure(figure)
    if len(counts):
        part["failure_modes"] = site.table(_failure_modes(benchmark, counts, totals))
        part["targets"] = site.table(_targets(benchmark, counts))
    return part


def _rows(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    is_dataset = frame["dataset"] == benchmark.group.dataset
    return frame[is_dataset & (frame["protocol"] == benchmark.protocol.id)]


def _without_ids(report: Report, benchmark: Benchmark, cases: pd.DataFrame) -> pd.DataFrame:
    """Replace ids of subjects by the names that the report uses, and remove files."""
    dataset, privacy = benchmark.group.dataset, report.privacy
    subjects = [privacy.subject(dataset, str(subject)) for subject in cases["subject"]]
    details = {text: privacy.text(text) for text in cases["detail"].dropna().unique()}
    public = cases.assign(subject=subjects, detail=cases["detail"].map(details))
    return public.drop(columns=["case", "mask"])


def _totals(benchmark: Benchmark, cases: pd.DataFrame) -> pd.DataFrame:
    """Count predictions, failed ones and poor ones by model and modality."""
    predictions = benchmark.group.results.predictions
    is_excluded = predictions["status"].isin(["not-run", "undefined", Status.UNSUPPORTED])
    last = predictions[~is_excluded].drop_duplicates(
        ["run", "case", "modality", "target", "seed"], keep="last"
    )
    sizes = last.groupby(_MODEL_AND_MODALITY, observed=True).size().rename("predictions")
    texts = dict.fromkeys(_MODEL_AND_MODALITY, str)
    rows = pd.DataFrame(sizes).reset_index().astype(texts)
    is_mask = cases["status"] == Status.OK
    for name, selected in (("failed", cases[~is_mask]), ("poor", cases[is_mask])):
        counts = selected.groupby(_MODEL_AND_MODALITY).size().rename(name)
        rows = rows.merge(counts.reset_index().astype(texts), on=_MODEL_AND_MODALITY, how="left")
    return rows.fillna({"failed": 0, "poor": 0}).astype({"failed": int, "poor": int})


def _failure_modes(benchmark: Benchmark, counts: pd.DataFrame, totals: pd.DataFrame) -> Table:
    """Tabulate model and modality by failure mode, as shares of all predictions."""
    by_cell = counts.groupby(["model", "modality", "failure_mode"])["count"].sum()
    present = set(counts["failure_mode"])
    names = [name for name in FAILURE_MODES if name in present]
    names += sorted(present - set(FAILURE_MODES))
    rows = []
    for total in rows_of(totals):
        predictions = int(total.predictions)
        shares = []
        for name in names:
            count = int(by_cell.get((total.model, total.modality, name), 0))
            shares.append(_share(count, predictions))
        labels = [Cell(text=total.model), Cell(text=MODALITY_NAMES[total.modality])]
        rows.append([*labels, Cell(text=str(predictions), sort=predictions), *shares])
    columns = [
        Column(title="model", words=True),
        Column(title="modality", words=True),
        Column(title="predictions"),
    ]
    for name in names:
        definition = FAILURE_MODES.get(name, "a prediction without a mask")
        columns.append(Column(title=name, help=definition))
    return Table(
        name=f"{benchmark.key}.failure-modes",
        title="Failure modes, % of predictions",
        note="In small print: number of predictions. The failure modes are defined at the end of "
        "this page.",
        columns=columns,
        rows=rows,
        data=counts,
        warnings=benchmark.warnings,
    )


def _share(count: int, total: int) -> Cell:
    share = count / total if total else 0.0
    if not count:
        return Cell(text="0", sort=0.0)
    colours = blend(_RAMP, min(share, 1.0) ** 0.5)
    text = number(100 * share, 0 if share >= 0.1 else 1)
    return Cell(text=text, sort=share, small=str(count), heat=colours)


def _targets(benchmark: Benchmark, counts: pd.DataFrame) -> Table:
    order = {name: number for number, name in enumerate(benchmark.targets)}
    ordered = sorted(
        rows_of(counts),
        key=lambda row: (row.model, order.get(row.target, 0), row.modality, -row.count),
    )
    rows = [
        [
            Cell(text=row.model),
            Cell(text=row.target),
            Cell(text=MODALITY_NAMES[row.modality]),
            Cell(text=row.failure_mode),
            Cell(text=str(row.count), sort=int(row.count)),
            Cell(text=str(row.predictions), sort=int(row.predictions)),
            Cell(text=number(100 * row.share, 1), sort=float(row.share)),
        ]
        for row in ordered
    ]
    words = ("model", "target", "modality", "failure mode")
    numbers = ("count", "predictions", "%")
    return Table(
        name=f"{benchmark.key}.failure-modes-by-target",
        title="Failure modes by target",
        columns=[
            *(Column(title=title, words=True) for title in words),
            *(Column(title=title) for title in numbers),
        ],
        rows=rows,
        data=counts,
        warnings=benchmark.warnings,
    )


def _messages(cases: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Return model and status, message and count of each model's most frequent messages."""
    failed = cases[(cases["status"] != Status.OK) & cases["detail"].notna()]
    counts = failed.groupby(["model", "status", "detail"]).size().rename("count").reset_index()
    counts = counts.sort_values("count", ascending=False, kind="stable")
    most_frequent = counts.groupby("model", sort=False).head(MESSAGES)
    messages = [
        (f"{row.model}, {row.status}", str(row.detail)[:400], int(row.count))
        for row in rows_of(most_frequent)
    ]
    return sorted(messages, key=lambda message: message[0])
