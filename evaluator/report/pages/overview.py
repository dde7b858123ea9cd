"""The overview: what was measured, what it means, and the table that the paper has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison import ALL_TARGETS
from evaluator.analysis.control_check import DATASET, EVERYWHERE, MODALITY, WORKING, judge_control
from evaluator.metrics import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.levels import levels
from evaluator.report.tables import (
    NOTHING,
    SAID,
    SCANNER,
    Cell,
    Column,
    Table,
    digits_of,
    figure_cell,
    interval,
    number,
    rows_of,
)
from evaluator.report.verdicts import kind_of, verdicts

#: how a verdict is coloured
_SANE = {WORKING: "same", EVERYWHERE: "worse", DATASET: "worse", MODALITY: "worse"}

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report


def make(report: Report) -> Page:
    """The page that opens first."""
    return Page(
        file="index.html",
        nav="index.html",
        title="Overview",
        short="Overview",
        template="overview.html",
        context={
            "facts": facts(report),
            "sanity": sanity(report),
            "glance": glance(report),
            "page_parts": [_part(report, benchmark) for benchmark in report.benchmarks],
            "images": report.options.images,
        },
    )


def facts(report: Report) -> dict[str, Any]:
    """What was measured, counted."""
    models = sorted({run.model for run in report.results.runs})
    datasets = list(dict.fromkeys(run.dataset_title for run in report.results.runs))
    subjects = report.results.scores[["dataset", "subject"]].drop_duplicates()
    return {
        "models": models,
        "datasets": datasets,
        "subjects": len(subjects),
        "scores": f"{len(report.results.scores):,}".replace(",", "\u202f"),
        "benchmarks": len(report.benchmarks),
    }


def glance(report: Report) -> Table | None:
    """Every model's verdict in every benchmark, on one screen; None where there is one benchmark alone."""
    columns = [
        (benchmark, modality_pair)
        for benchmark in report.benchmarks
        for modality_pair in benchmark.modality_pairs
    ]
    if len(report.benchmarks) < 2 or not columns:
        return None
    models = sorted({model for benchmark in report.benchmarks for model in benchmark.models})
    frame = report.comparison.modality
    frame = frame[(frame["target"] == ALL_TARGETS) & (frame["failures"] == "included")]
    found = {(r.dataset, r.protocol, r.metric, r.model, r.modality_pair): r for r in rows_of(frame)}
    upper = [
        ("", 1),
        *(
            (benchmark.short, len(benchmark.modality_pairs))
            for benchmark in report.benchmarks
            if benchmark.modality_pairs
        ),
    ]

    def cell(model: str, benchmark: Benchmark, modality_pair: str) -> Cell:
        row = found.get(
            (benchmark.group.dataset, benchmark.protocol.id, benchmark.metric, model, modality_pair)
        )
        if row is None:
            return Cell(text="", kind="nothing")
        kind, word = kind_of(row, benchmark.metric)
        small = f"{number(row.mean_structural)} → {number(row.mean_functional)}\nn {row.n}"
        if kind == "untaken":
            small = ""
        return Cell(
            text=word,
            small=small,
            kind=f"tag {kind}",
            sort=None if pd.isna(row.difference) else float(row.difference),
        )

    return report.site.table(
        Table(
            name="glance",
            title="At a glance: is the model as good on PET?",
            note="Mean over all targets, failures counted. In small print: mean on the structural image → on PET, subjects.",
            columns=[
                Column(title="model", words=True),
                *(
                    Column(
                        title=SCANNER[modality_pair],
                        words=True,
                        starts=modality_pair == benchmark.modality_pairs[0],
                    )
                    for benchmark, modality_pair in columns
                ),
            ],
            upper=upper,
            rows=[
                [Cell(text=model), *(cell(model, *column) for column in columns)]
                for model in models
            ],
            data=frame,
            warnings=report.warnings,
        )
    )


def sanity(report: Report) -> dict[str, Any] | None:
    """Each model's verdict beside a control on which it is known to work; None where no control was named."""
    if report.options.control is None:
        return None
    random = {run.label for run in report.results.runs if run.random_weights}
    rows = judge_control(report.comparison.means, report.options.control, random_weights=random)
    firsts = {(benchmark.protocol.id, benchmark.metric) for benchmark in report.benchmarks}
    rows = rows[[key in firsts for key in zip(rows["protocol"], rows["metric"], strict=True)]]
    if rows.empty:
        return None
    titles = ("model", "protocol", "metric", "dataset", "control", "CT or MR", "PET", "verdict")
    table = Table(
        name="sanity",
        title=f"Sanity control: {report.options.control}",
        note="Mean over all targets, failures counted: on the control, and on the dataset of the question.",
        columns=[Column(title=title, words=n < 4 or n == 7) for n, title in enumerate(titles)],
        rows=[
            [
                *(Cell(text=str(text)) for text in (row.model, row.protocol, METRICS[row.metric].title, row.target_dataset)),
                *(figure_cell(value) for value in (row.control_mean, row.structural_mean, row.functional_mean)),
                Cell(text=str(row.verdict), kind=f"tag {_SANE.get(str(row.verdict), 'open')}", small=str(row.explanation)),
            ]
            for row in rows_of(rows)
        ],
        data=rows,
        warnings=report.warnings,
    )  # fmt: skip
    return {
        "table": report.site.table(table),
        "suspect": sorted(set(rows.loc[rows["verdict"] == EVERYWHERE, "model"])),
    }


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any]:
    site, means = report.site, _means(benchmark)
    table = site.table(summary(benchmark)) if len(means) else None
    taken = means[means["status"] != "unsupported"]
    paired = taken[taken["modality_pair"] != "all"]
    return {
        "benchmark": benchmark,
        "verdicts": verdicts(benchmark, report.failure_analysis),
        "table": table,
        "figure": site.figure(
            levels(
                paired if len(paired) else taken, benchmark.comparison.published,
                name=f"{benchmark.key}.levels", warnings=benchmark.warnings,
            )
        )
        if taken["mean"].notna().any()
        else None,
    }  # fmt: skip


def _means(benchmark: Benchmark) -> pd.DataFrame:
    means = benchmark.comparison.means
    return means[
        (means["metric"] == benchmark.metric)
        & (means["failures"] == "included")
        & (means["target"] == ALL_TARGETS)
    ]


def summary(benchmark: Benchmark) -> Table:
    """The paper's table: model by CT, PT of PET/CT and MR, PT of PET/MR, and what the literature reports."""
    means = _means(benchmark)
    left_out = benchmark.comparison.means
    left_out = left_out[
        (left_out["metric"] == benchmark.metric)
        & (left_out["failures"] == "excluded")
        & (left_out["target"] == ALL_TARGETS)
    ]
    keys = [
        (modality_pair, modality)
        for modality_pair in benchmark.modality_pairs
        for modality in modality_pair.split("-")
    ]
    alone = [
        name for name in benchmark.modalities if name not in {modality for _, modality in keys}
    ]
    keys += [("all", modality) for modality in alone]
    metric = METRICS[benchmark.metric]
    columns = [Column(title="model", words=True)]
    upper = [("", 1)]
    for modality_pair in dict.fromkeys(modality_pair for modality_pair, _ in keys):
        own = [modality for name, modality in keys if name == modality_pair]
        upper.append((SCANNER.get(modality_pair, "unpaired"), len(own)))
        columns += [Column(title=SAID[name], starts=n == 0) for n, name in enumerate(own)]
    columns.append(
        Column(
            title="literature",
            words=True,
            starts=True,
            help="what the literature reports for the model",
        )
    )
    columns.append(
        Column(title="UMD paper", words=True, help="what the paper measured on its own data")
    )
    upper.append(("reported elsewhere", 2))
    counted, without = _by_place(means), _by_place(left_out)
    rows = []
    for model in benchmark.models:
        cells = [
            _level(counted.get((model, *key)), without.get((model, *key)), benchmark.metric)
            for key in keys
        ]
        reported = [_reported(benchmark, model, kind) for kind in ("literature", "paper")]
        rows.append([Cell(text=model, small=_how(benchmark, model)), *cells, *reported])
    unit = f", {metric.unit}" if metric.unit else ""
    return Table(
        name=f"{benchmark.key}.summary",
        title=f"Mean {metric.title}{unit} over all targets",
        note="In small print: 95 % interval over subjects (BCa bootstrap); subjects; predictions without a mask, which count "
        "as the protocol says, and the mean with them left out.",
        columns=columns,
        upper=upper,
        rows=rows,
        data=pd.concat([means, left_out]),
        warnings=benchmark.warnings,
    )


def _by_place(means: pd.DataFrame) -> dict[tuple[str, str, str], Any]:
    return {
        (str(row.model), str(row.modality_pair), str(row.modality)): row for row in rows_of(means)
    }


def _level(row: Any, without: Any, metric: str) -> Cell:
    if row is None or pd.isna(row.mean):
        return Cell(
            text=NOTHING,
            kind="nothing",
            small="" if row is None else str(row.explanation or row.status),
        )
    digits = digits_of(metric)
    if row.status == "unsupported":
        return Cell(
            text="not supported",
            kind="nothing",
            small=f"counts as {number(row.mean, digits)}\nn {row.n}",
        )
    small = f"{interval(row.low, row.high, digits)}\nn {row.n}"
    if row.failed:
        rest = number(None if without is None else without.mean, digits)
        small += f"\n{row.failed} failed ({rest} without)"
    return Cell(text=number(row.mean, digits), small=small, sort=float(row.mean))


def _how(benchmark: Benchmark, model: str) -> str:
    run = next(run for run in benchmark.runs if run.label == model)
    told = [run.prompt_kind or "no prompt", *([] if run.isolates else ["no container"])]
    return ", ".join([*told, *([f"weights {run.weights}"] if run.random_weights else [])])


def _reported(benchmark: Benchmark, model: str, kind: str) -> Cell:
    card = next(run.model for run in benchmark.runs if run.label == model)
    rows = benchmark.comparison.published
    rows = rows[(rows["model"] == card) & (rows["kind"] == kind)]
    rows = rows[(rows["metric"] == benchmark.metric) & (rows["target"] == ALL_TARGETS)]
    if rows.empty:
        return Cell(text=NOTHING, kind="nothing")
    unsure = set(rows["certainty"]) != {"checked"}
    return Cell(text="; ".join(_told(rows)), small="second-hand" if unsure else "")


def _told(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows_of(rows):
        modality = SAID.get(str(row.modality), "all") if pd.notna(row.modality) else "all"
        scanner = (
            f" of {SCANNER[str(row.modality_pair)]}" if str(row.modality_pair) in SCANNER else ""
        )
        yield f"{modality}{scanner} {number(row.value)}"
