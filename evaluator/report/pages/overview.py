"""The overview: what was measured, the verdicts, the control check and the main table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.control_check import DATASET, EVERYWHERE, MODALITY, WORKING, judge_control
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.levels import levels
from evaluator.report.pages.main_table import main_table, overall_means
from evaluator.report.tables import (
    SCANNER,
    Cell,
    Column,
    Table,
    figure_cell,
    number,
    rows_of,
)
from evaluator.report.verdicts import kind_of, verdicts

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

#: verdict of the control check -> kind, which determines the colour
_KINDS = {WORKING: "same", EVERYWHERE: "worse", DATASET: "worse", MODALITY: "worse"}


def make(report: Report) -> Page:
    """Make the first page."""
    return Page(
        file="index.html",
        nav="index.html",
        title="Overview",
        short="Overview",
        template="overview.html",
        context={
            "facts": facts(report),
            "unregistered": report.unregistered,
            "control": control_check(report),
            "glance": at_a_glance(report),
            "page_parts": [_part(report, benchmark) for benchmark in report.benchmarks],
            "images": report.options.images,
        },
    )


def facts(report: Report) -> dict[str, Any]:
    """Count models, datasets, subjects, scores and benchmarks."""
    scores = report.results.scores
    return {
        "models": sorted({run.model for run in report.results.runs}),
        "datasets": list(dict.fromkeys(run.dataset_title for run in report.results.runs)),
        "subjects": len(scores[["dataset", "subject"]].drop_duplicates()),
        "scores": f"{len(scores):,}".replace(",", "\u202f"),
        "benchmarks": len(report.benchmarks),
    }


def at_a_glance(report: Report) -> Table | None:
    """Tabulate every model's verdict in every benchmark; None for a single benchmark."""
    columns = []
    for benchmark in report.benchmarks:
        columns += [(benchmark, modality_pair) for modality_pair in benchmark.modality_pairs]
    if len(report.benchmarks) < 2 or not columns:
        return None
    frame = report.comparison.modality
    frame = frame[(frame["target"] == ALL_TARGETS) & (frame["failures"] == "counted")]
    by_cell = {
        (row.dataset, row.protocol, row.metric, row.model, row.modality_pair): row
        for row in rows_of(frame)
    }
    models: set[str] = set()
    upper = [("", 1)]
    for benchmark in report.benchmarks:
        models.update(benchmark.models)
        if benchmark.modality_pairs:
            upper.append((benchmark.short, len(benchmark.modality_pairs)))
    rows = []
    for model in sorted(models):
        cells = [_glance_cell(by_cell, model, *column) for column in columns]
        rows.append([Cell(text=model), *cells])
    headings = [
        Column(
            title=SCANNER[modality_pair],
            words=True,
            starts=modality_pair == benchmark.modality_pairs[0],
        )
        for benchmark, modality_pair in columns
    ]
    return report.site.table(
        Table(
            name="glance",
            title="At a glance: is the model as good on PET?",
            note="Mean over all targets, failures included. In small print: mean over subjects on "
            "the structural image → on PET, and number of subjects.",
            columns=[Column(title="model", words=True), *headings],
            upper=upper,
            rows=rows,
            data=frame,
            warnings=report.warnings,
        )
    )


def _glance_cell(
    by_cell: dict[Any, Any], model: str, benchmark: Benchmark, modality_pair: str
) -> Cell:
    dataset, protocol = benchmark.group.dataset, benchmark.protocol.id
    row = by_cell.get((dataset, protocol, benchmark.metric, model, modality_pair))
    if row is None:
        return Cell(text="", kind="nothing")
    kind, word = kind_of(row)
    means = f"{number(row.mean_structural)} → {number(row.mean_functional)}\nn {row.n}"
    return Cell(
        text=word,
        small="" if kind == "unsupported" else means,
        kind=f"tag {kind}",
        sort=None if pd.isna(row.difference) else float(row.difference),
    )


def control_check(report: Report) -> dict[str, Any] | None:
    """Judge each model by the control dataset; None if none was named."""
    control = report.options.control
    if control is None:
        return None
    random = {run.label for run in report.results.runs if run.random_weights}
    frame = judge_control(report.comparison.means, control, random_weights=random)
    primary = {(benchmark.protocol.id, benchmark.metric) for benchmark in report.benchmarks}
    is_primary = [key in primary for key in zip(frame["protocol"], frame["metric"], strict=True)]
    frame = frame[is_primary]
    if frame.empty:
        return None
    titles = ("model", "protocol", "metric", "dataset", "control", "CT or MR", "PET", "verdict")
    words = ("model", "protocol", "metric", "dataset", "verdict")
    table = Table(
        name="control",
        title=f"Control dataset: {control}",
        note="Mean over all targets, failures included: on the control dataset, and on the judged "
        "dataset.",
        columns=[Column(title=title, words=title in words) for title in titles],
        rows=[_control_cells(row) for row in rows_of(frame)],
        data=frame,
        warnings=report.warnings,
    )
    return {
        "table": report.site.table(table),
        "suspect": sorted(set(frame.loc[frame["verdict"] == EVERYWHERE, "model"])),
    }


def _control_cells(row: Any) -> list[Cell]:
    labels = (row.model, row.protocol, METRICS[row.metric].title, row.target_dataset)
    means = (row.control_mean, row.structural_mean, row.functional_mean)
    kind = _KINDS.get(str(row.verdict), "open")
    return [
        *(Cell(text=str(label)) for label in labels),
        *(figure_cell(mean) for mean in means),
        Cell(text=str(row.verdict), kind=f"tag {kind}", small=str(row.explanation)),
    ]


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any]:
    site, means = report.site, overall_means(benchmark, "counted")
    supported = means[means["status"] != "unsupported"]
    paired = supported[supported["modality_pair"] != "all"]
    part: dict[str, Any] = {
        "benchmark": benchmark,
        "verdicts": verdicts(benchmark, report.failure_analysis),
        "table": site.table(main_table(benchmark)) if len(means) else None,
        "figure": None,
    }
    if supported["mean"].notna().any():
        figure = levels(
            paired if len(paired) else supported,
            benchmark.comparison.published,
            name=f"{benchmark.key}.levels",
            warnings=benchmark.warnings,
        )
        part["figure"] = site.figure(figure)
    return part
