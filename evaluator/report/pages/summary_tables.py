"""Summary tables of a benchmark: joint models, gaps, volumes, and model against model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.metrics.metric_table import METRICS
from evaluator.report.tables import (
    MODALITY_NAMES,
    NOTHING,
    SCANNER,
    Cell,
    Column,
    Table,
    digits_of,
    figure_cell,
    interval,
    probability,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report


def joint_table(report: Report, benchmark: Benchmark) -> Table | None:
    """All targets in one model; None where there is one target, or nothing to compare."""
    rows = benchmark.comparison.joint
    rows = rows[rows["failures"] == "counted"]
    rows = rows[rows["metric"] == benchmark.metric]
    if rows.empty or len(benchmark.targets) < 2:
        return None
    digits = digits_of(benchmark.metric)
    columns = [
        Column(title="model", words=True),
        Column(title="scanner", words=True),
        Column(title="n"),
    ]
    columns += [
        Column(title=title)
        for title in ("structural − PET", "p", "p interaction", "SD subject", "SD modality")
    ]
    columns += [Column(title="method", words=True)]
    return report.site.table(
        Table(
            name=f"{benchmark.key}.joint",
            title=f"{METRICS[benchmark.metric].title}: all targets jointly",
            note="Mixed model with the subject as a random effect on level and modality, or its "
            "fallback on ranks. The interaction asks whether the difference is the same for all "
            "targets.",
            columns=columns,
            rows=[
                [
                    Cell(text=str(row.model)),
                    Cell(text=SCANNER.get(str(row.modality_pair), str(row.modality_pair))),
                    Cell(text=str(row.n), sort=int(row.n)),
                    figure_cell(
                        row.difference,
                        digits,
                        sign=True,
                        small=interval(row.low, row.high, digits, sign=True),
                    ),
                    Cell(text=probability(row.p), sort=None if pd.isna(row.p) else float(row.p)),
                    Cell(
                        text=probability(row.p_interaction),
                        sort=None if pd.isna(row.p_interaction) else float(row.p_interaction),
                    ),
                    figure_cell(row.sd_subject, digits),
                    figure_cell(row.sd_modality, digits),
                    Cell(text=str(row.method), small=str(row.reason or "")),
                ]
                for row in rows_of(rows)
            ],
            data=rows,
            warnings=benchmark.warnings,
        )
    )


def gaps_table(report: Report, benchmark: Benchmark) -> Table | None:
    """Modality discrepancies and generalization gaps."""
    rows = benchmark.comparison.gaps
    rows = rows[(rows["failures"] == "counted") & (rows["metric"] == benchmark.metric)]
    if rows.empty:
        return None
    digits = digits_of(benchmark.metric)
    columns = [
        Column(title="model", words=True),
        Column(title="gap", words=True),
        Column(title="of", words=True),
    ]
    columns += [Column(title=title) for title in ("n", "literature", "measured", "gap")]
    columns += [Column(title="source", words=True)]
    return report.site.table(
        Table(
            name=f"{benchmark.key}.gaps",
            title=f"Gaps in {METRICS[benchmark.metric].title}",
            note="Modality discrepancy: structural minus functional, within the subject. "
            "Generalization gap: literature-reported minus measured here, on other data; the "
            "literature value is taken as exact.",
            columns=columns,
            rows=[list(_gap_cells(row, digits)) for row in rows_of(rows)],
            data=rows,
            warnings=benchmark.warnings,
        )
    )


def _gap_cells(row: Any, digits: int) -> Iterator[Cell]:
    yield Cell(text=str(row.model))
    yield Cell(text=str(row.gap))
    yield Cell(
        text=SCANNER.get(str(row.modality_pair))
        or MODALITY_NAMES.get(str(row.modality), str(row.modality))
    )
    yield Cell(text=NOTHING if pd.isna(row.n) else str(row.n))
    yield figure_cell(row.literature, digits)
    refused = row.status == "unsupported"
    yield (
        Cell(text=NOTHING, small="not supported")
        if refused
        else figure_cell(row.measured, digits, sign=row.gap == "modality discrepancy")
    )
    yield figure_cell(
        row.value, digits, sign=True, small=interval(row.low, row.high, digits, sign=True)
    )
    sure = "" if pd.isna(row.certainty) or row.certainty in ("", "checked") else str(row.certainty)
    yield Cell(
        text=NOTHING if pd.isna(row.source) or not row.source else str(row.source), small=sure
    )


def volumes_table(report: Report, benchmark: Benchmark) -> Table | None:
    """Agreement of volumes with the references'."""
    rows = benchmark.comparison.volumes
    rows = rows[rows["modality_pair"] == "all"] if len(rows) else rows
    if rows.empty:
        return None
    columns = [
        Column(title="model", words=True),
        Column(title="modality", words=True),
        Column(title="target", words=True),
    ]
    columns += [
        Column(title=title)
        for title in ("n", "reference", "predicted", "bias", "limits of agreement", "bias, %")
    ]
    return report.site.table(
        Table(
            name=f"{benchmark.key}.volumes",
            title="Volumes, ml: predicted against reference (Bland and Altman)",
            note="Bias: mean of predicted minus reference, with its 95 % interval in small print; "
            "limits: bias ± 1.96 standard deviations. The plots stand under Subject by subject.",
            columns=columns,
            rows=[
                [
                    Cell(text=str(row.model)),
                    Cell(text=MODALITY_NAMES[str(row.modality)]),
                    Cell(text=str(row.target)),
                    Cell(text=str(row.n), sort=int(row.n)),
                    figure_cell(row.reference_ml, 1),
                    figure_cell(row.predicted_ml, 1),
                    figure_cell(
                        row.bias,
                        1,
                        sign=True,
                        small=interval(row.bias_low, row.bias_high, 1, sign=True),
                    ),
                    Cell(text=interval(row.limit_low, row.limit_high, 1, sign=True)),
                    figure_cell(row.bias_percent, 1, sign=True),
                ]
                for row in rows_of(rows)
            ],
            data=rows,
            warnings=benchmark.warnings,
        )
    )


#: more pairs of models than these are in the CSV alone
MOST_PAIRS = 200


def models_table(report: Report, benchmark: Benchmark) -> Table | None:
    """Tabulate model against model over all targets; None for no rows, or for too many."""
    rows = benchmark.comparison.models
    rows = rows[
        (rows["failures"] == "counted")
        & (rows["metric"] == benchmark.metric)
        & (rows["target"] == ALL_TARGETS)
    ]
    if rows.empty or len(rows) > MOST_PAIRS:
        return None
    titles = (
        "model",
        "against",
        "modality",
        "verdict",
        "n",
        "model’s",
        "other’s",
        "difference",
        "p (Holm)",
    )
    columns = [Column(title=title, words=n < 4) for n, title in enumerate(titles)]
    return report.site.table(
        Table(
            name=f"{benchmark.key}.models",
            title=f"{METRICS[benchmark.metric].title}: model against model, on the same scans",
            note="Mean over all targets, failures included, paired within the subject. In small "
            "print: 95\u00a0% interval.",
            columns=columns,
            rows=[list(_models_cells(row, digits_of(benchmark.metric))) for row in rows_of(rows)],
            data=rows,
            warnings=benchmark.warnings,
        )
    )


def _models_cells(row: Any, digits: int) -> Iterator[Cell]:
    yield from (
        Cell(text=str(row.model)),
        Cell(text=str(row.other)),
        Cell(text=MODALITY_NAMES[str(row.modality)]),
    )
    word = "not supported" if row.status == "unsupported" else str(row.verdict)
    yield Cell(text=word, small="" if row.status == "ok" else str(row.explanation))
    yield Cell(text=str(row.n), sort=int(row.n))
    yield figure_cell(row.mean_model, digits)
    yield figure_cell(row.mean_other, digits)
    yield figure_cell(
        row.difference, digits, sign=True, small=interval(row.low, row.high, digits, sign=True)
    )
    yield Cell(
        text=probability(row.p_holm), sort=None if pd.isna(row.p_holm) else float(row.p_holm)
    )
