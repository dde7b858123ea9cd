"""PET against CT or MR: differences by target and jointly, gaps, and volumes."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.forest import forest
from evaluator.report.figures.heatmap import heatmap
from evaluator.report.figures.scales import heat
from evaluator.report.pages.summary_tables import gaps_table, joint_table, volumes_table
from evaluator.report.tables import (
    MODALITY_NAMES,
    NOTHING,
    SCANNER,
    Cell,
    Column,
    Table,
    cell_text,
    digits_of,
    families_text,
    figure_cell,
    interval,
    number,
    probability,
    rows_of,
)
from evaluator.report.verdicts import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report

#: heat maps of further metrics stand in the page while they have no more columns than this
MOST_COLUMNS = 40


def make(report: Report) -> Page:
    """Heat maps for every benchmark; differences for those that have pairs."""
    return Page(
        file="modalities.html",
        nav="modalities.html",
        title="PET against CT and MR",
        short="PET against CT and MR",
        template="modalities.html",
        context={
            "page_parts": [_part(report, benchmark) for benchmark in report.benchmarks],
            "metrics": METRICS,
        },
    )


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any]:
    site = report.site
    shown = [benchmark.metric]
    if len(benchmark.models) * len(benchmark.modalities) <= MOST_COLUMNS:
        shown = list(benchmark.protocol.metrics)
    maps = []
    for metric in shown:
        means = _level_rows(benchmark, metric)
        if means["mean"].isna().all():
            continue
        site.figure(
            heatmap(
                means,
                benchmark.targets,
                name=f"{benchmark.key}.heat.{metric}",
                warnings=benchmark.warnings,
            )
        )
        maps.append(site.table(heat_table(benchmark, metric)))
    return {
        "benchmark": benchmark,
        "maps": maps,
        "modality_pairs": [
            differences
            for modality_pair in benchmark.modality_pairs
            if (differences := _pairing(report, benchmark, modality_pair))
        ],
        "joint": joint_table(report, benchmark),
        "gaps": gaps_table(report, benchmark),
        "volumes": volumes_table(report, benchmark),
    }


def _level_rows(benchmark: Benchmark, metric: str) -> pd.DataFrame:
    means = benchmark.comparison.means
    return means[
        (means["metric"] == metric)
        & (means["failures"] == "counted")
        & (means["modality_pair"] == "all")
        & (means["target"] != ALL_TARGETS)
    ]


def heat_table(benchmark: Benchmark, metric: str) -> Table:
    """Target by model and modality, every scan of the modality, as coloured figures."""
    rows = _level_rows(benchmark, metric)
    by_place = {(str(r.model), str(r.modality), str(r.target)): r for r in rows_of(rows)}
    present = {place[:2] for place in by_place}
    keys = [key for key in product(benchmark.models, benchmark.modalities) if key in present]
    counts = Counter(model for model, _ in keys)
    upper = [("", 1), *counts.items()]
    columns = [Column(title="target", words=True)]
    columns += [
        Column(title=MODALITY_NAMES[modality], starts=n == 0 or keys[n - 1][0] != model)
        for n, (model, modality) in enumerate(keys)
    ]
    row = METRICS[metric]
    unit = f", {row.unit}" if row.unit else ""
    rows_of_table = []
    for target in benchmark.targets:
        cells = [_heat_cell(by_place.get((*key, target)), metric) for key in keys]
        rows_of_table.append([Cell(text=target), *cells])
    return Table(
        name=f"{benchmark.key}.heat-table.{metric}",
        title=f"Mean {row.title}{unit}, by target, model and modality",
        note="Every scan of a modality; "
        f"{'darker is better' if not row.signed else 'darker is nearer to 0'}. In small print: 95 "
        "% interval, subjects, failures; failures count as the protocol says.",
        columns=columns,
        upper=upper,
        rows=rows_of_table,
        data=rows,
        warnings=benchmark.warnings,
    )


def _heat_cell(row: Any, metric: str) -> Cell:
    if row is None or pd.isna(row.mean):
        return Cell(text=NOTHING, kind="nothing", small="" if row is None else str(row.status))
    if row.status == "unsupported":
        return Cell(text=NOTHING, kind="nothing", small="not\nsupported")
    digits = digits_of(metric)
    small = f"{interval(row.low, row.high, min(digits, 2))}\nn {row.n}" + (
        f", {row.failed} failed" if row.failed else ""
    )
    return Cell(
        text=number(row.mean, digits),
        small=small,
        sort=float(row.mean),
        heat=heat(float(row.mean), metric),
    )


def _pairing(report: Report, benchmark: Benchmark, modality_pair: str) -> dict[str, Any] | None:
    every = benchmark.comparison.modality
    every = every[every["modality_pair"] == modality_pair]
    if len(benchmark.targets) == 1:  # the mean over one target is that target
        every = every[every["target"] != ALL_TARGETS]
    rows = every[(every["metric"] == benchmark.metric) & (every["failures"] == "counted")]
    if rows.empty:
        return None
    margin = rows["margin"].dropna()
    site = report.site
    drawn = rows["difference"].notna().any()
    plot = (
        forest(
            rows,
            modality_pair,
            benchmark.targets,
            margin=float(margin.iloc[0]) if len(margin) else None,
            name=f"{benchmark.key}.forest.{modality_pair}",
            warnings=benchmark.warnings,
        )
        if drawn
        else None
    )
    left_out = every[(every["metric"] == benchmark.metric) & (every["failures"] == "excluded")]
    table = _differences(benchmark, modality_pair, rows, left_out)
    others = [
        site.table(_differences(benchmark, modality_pair, group, None, metric))
        for metric in benchmark.protocol.metrics[1:]
        if len(group := every[(every["metric"] == metric) & (every["failures"] == "counted")])
    ]
    return {
        "name": SCANNER[modality_pair],
        "structural": MODALITY_NAMES[modality_pair.split("-")[0]],
        "figure": site.figure(plot) if plot else None,
        "table": site.table(table),
        "others": others,
    }


def _differences(
    benchmark: Benchmark,
    modality_pair: str,
    rows: pd.DataFrame,
    left_out: pd.DataFrame | None,
    metric: str | None = None,
) -> Table:
    metric = metric or benchmark.metric
    structural, digits, row_of = (
        MODALITY_NAMES[modality_pair.split("-")[0]],
        digits_of(metric),
        METRICS[metric],
    )
    without = (
        {(str(r.model), str(r.target)): r for r in rows_of(left_out)}
        if left_out is not None
        else {}
    )
    columns = [
        Column(title="model", words=True),
        Column(title="target", words=True),
        Column(title="verdict", words=True),
        Column(title="n", help="subjects with both images"),
        Column(title="failed", help=f"pairs without a mask on {structural}, and on PET"),
        Column(title=structural, starts=True),
        Column(title="PET"),
        Column(
            title=f"{structural} − PET",
            help="mean paired difference and its 95 % interval, which allows for failures that "
            "were not seen",
        ),
        Column(
            title="floors", help="score of an image-blind answer to the model’s prompts, on each"
        ),
        Column(title="ceilings", help="what the grid allows, on each"),
        Column(
            title="without the grid",
            help="the difference without the grid's part and its 95 % interval; the verdict is "
            "given for it",
        ),
        Column(title="shift", help="typical subject: Hodges-Lehmann"),
        Column(title="r", help="typical subject: matched-pairs rank-biserial correlation"),
        Column(
            title="p (Holm)",
            help="sign-flip test of the mean difference, adjusted by Holm over the family",
        ),
        Column(title="p equiv.", help="two one-sided tests against the margin, adjusted by Holm"),
    ]
    order = {name: n for n, name in enumerate((ALL_TARGETS, *benchmark.targets))}
    ordered = sorted(rows_of(rows), key=lambda r: (str(r.model), order.get(str(r.target), 0)))
    unit = f", {row_of.unit}" if row_of.unit else ""
    return Table(
        name=f"{benchmark.key}.differences.{modality_pair}.{metric}",
        title=f"{row_of.title}{unit}: {structural} minus PET within the subject",
        note="In small print: 95\u00a0% interval with an allowance for failures that were not "
        "seen; the difference with failures left out; why a verdict is inconclusive. "
        + families_text(rows),
        columns=columns,
        rows=[list(_difference_cells(r, digits, without, benchmark.circular)) for r in ordered],
        data=rows if left_out is None else pd.concat([rows, left_out]),
        warnings=benchmark.warnings,
    )


def _difference_cells(
    row: Any, digits: int, without: dict[tuple[str, str], Any], circular: frozenset[str]
) -> Iterator[Cell]:
    yield Cell(text=str(row.model), small="circular" if str(row.model) in circular else "")
    yield Cell(text=str(row.target))
    kind, word = kind_of(row)
    remarks = (row.verdict_reason, row.grid_remark) if row.status == "ok" else (row.explanation,)
    yield Cell(
        text=word,
        kind=f"tag {kind}",
        small="; ".join(filter(None, map(cell_text, remarks))),
    )
    yield Cell(text=str(row.n), sort=int(row.n))
    yield Cell(
        text=f"{row.failed_structural}, {row.failed_functional}", sort=int(row.failed_functional)
    )
    yield figure_cell(row.mean_structural, digits)
    yield figure_cell(row.mean_functional, digits)
    rest = without.get((str(row.model), str(row.target)))
    small = interval(row.low, row.high, digits, sign=True)
    if rest is not None and (row.failed_structural or row.failed_functional):
        small += f"; {number(rest.difference, digits, sign=True)} without"
    yield figure_cell(row.difference, digits, sign=True, small=small)
    for name in ("floor", "ceiling"):
        arms = [getattr(row, f"{name}_{arm}") for arm in ("structural", "functional")]
        text = ", ".join(number(value, digits) for value in arms)
        missing = any(pd.isna(value) for value in arms)
        yield Cell(text=NOTHING if missing else text, kind="nothing" if missing else "")
    yield figure_cell(
        row.controlled_difference,
        digits,
        sign=True,
        small=interval(row.controlled_low, row.controlled_high, digits, sign=True),
    )
    yield figure_cell(row.shift, digits, sign=True)
    yield figure_cell(row.rank_biserial, 2, sign=True)
    for p in (row.p_holm, row.p_equivalence_holm):
        yield Cell(
            text=probability(p),
            sort=None if pd.isna(p) else float(p),
            kind="nothing" if pd.isna(p) else "",
        )
