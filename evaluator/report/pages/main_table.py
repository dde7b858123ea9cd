"""The main table: model by modality as in the UMD paper, with what the literature reports."""

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
    interval,
    number,
    rows_of,
)

if TYPE_CHECKING:
    from evaluator.report.benchmark import Benchmark

    #: model, modality pair, modality
    Key = tuple[str, str, str]


def overall_means(benchmark: Benchmark, failures: str) -> pd.DataFrame:
    """Select the means over all targets of the first metric, under a failure rule."""
    means = benchmark.comparison.means
    means = means[(means["metric"] == benchmark.metric) & (means["failures"] == failures)]
    return means[means["target"] == ALL_TARGETS]


def main_table(benchmark: Benchmark) -> Table:
    """Tabulate model by CT and PET of PET/CT, MR and PET of PET/MR, and reported results."""
    included = overall_means(benchmark, "counted")
    excluded = overall_means(benchmark, "excluded")
    columns = [Column(title="model", words=True)]
    upper = [("", 1)]
    keys = []
    for modality_pair, modalities in _modalities(benchmark).items():
        upper.append((SCANNER.get(modality_pair, "unpaired"), len(modalities)))
        for number_in_pair, modality in enumerate(modalities):
            keys.append((modality_pair, modality))
            title = MODALITY_NAMES[modality]
            columns.append(Column(title=title, starts=number_in_pair == 0))
    columns += [
        Column(
            title="literature",
            words=True,
            starts=True,
            help="what the literature reports for the model",
        ),
        Column(title="UMD paper", words=True, help="what the paper measured on its own data"),
    ]
    upper.append(("reported elsewhere", 2))
    with_failures, without_failures = _by_key(included), _by_key(excluded)
    rows = []
    for model in benchmark.models:
        cells = [Cell(text=model, small=_setting(benchmark, model))]
        for modality_pair, modality in keys:
            key = (model, modality_pair, modality)
            cells.append(
                _level(with_failures.get(key), without_failures.get(key), benchmark.metric)
            )
        cells += [_reported(benchmark, model, kind) for kind in ("literature", "paper")]
        rows.append(cells)
    metric = METRICS[benchmark.metric]
    unit = f", {metric.unit}" if metric.unit else ""
    return Table(
        name=f"{benchmark.key}.summary",
        title=f"Mean {metric.title}{unit} over all targets, mean over subjects",
        note="In small print: floor (an image-blind answer to the model’s prompt) and ceiling "
        "(what the grid allows); 95 % interval over subjects, which allows for failures that were "
        "not seen; number of subjects (n); "
        "failed predictions, which are included as the protocol defines, and the mean without "
        "them.",
        columns=columns,
        upper=upper,
        rows=rows,
        data=pd.concat([included, excluded]),
        warnings=benchmark.warnings,
    )


def _modalities(benchmark: Benchmark) -> dict[str, list[str]]:
    """Return the modalities of each pair, and those without a pair as "all"."""
    modalities = {pair: pair.split("-") for pair in benchmark.modality_pairs}
    paired = {name for names in modalities.values() for name in names}
    unpaired = [name for name in benchmark.modalities if name not in paired]
    return modalities | ({"all": unpaired} if unpaired else {})


def _by_key(means: pd.DataFrame) -> dict[Key, Any]:
    return {
        (str(row.model), str(row.modality_pair), str(row.modality)): row for row in rows_of(means)
    }


def _level(row: Any, without_failures: Any, metric: str) -> Cell:
    if row is not None and row.status == "unsupported":
        return Cell(text="not supported", kind="nothing", small="no score")
    if row is None or pd.isna(row.mean):
        reason = "" if row is None else str(row.explanation or row.status)
        return Cell(text=NOTHING, kind="nothing", small=reason)
    digits = digits_of(metric)
    mean = number(row.mean, digits)
    small = f"{interval(row.low, row.high, digits)}\nn {row.n}"
    if pd.notna(row.floor) and pd.notna(row.ceiling):
        small += f"\nfloor {number(row.floor, digits)}, ceiling {number(row.ceiling, digits)}"
    if row.failed:
        excluded = None if without_failures is None else without_failures.mean
        small += f"\n{row.failed} failed ({number(excluded, digits)} without)"
    return Cell(text=mean, small=small, sort=float(row.mean))


def _setting(benchmark: Benchmark, model: str) -> str:
    run = next(run for run in benchmark.runs if run.label == model)
    parts = [run.prompt_kind or "no prompt"]
    if run.info.is_circular:
        parts.append("circular: references of this model")
    if not run.isolates:
        parts.append("no container")
    if run.random_weights:
        parts.append(f"weights {run.weights}")
    return ", ".join(parts)


def _reported(benchmark: Benchmark, model: str, kind: str) -> Cell:
    name = next(run.model for run in benchmark.runs if run.label == model)
    rows = benchmark.comparison.published
    rows = rows[(rows["model"] == name) & (rows["kind"] == kind)]
    rows = rows[(rows["metric"] == benchmark.metric) & (rows["target"] == ALL_TARGETS)]
    if rows.empty:
        return Cell(text=NOTHING, kind="nothing")
    is_second_hand = set(rows["certainty"]) != {"checked"}
    text = "; ".join(_published(row) for row in rows_of(rows))
    return Cell(text=text, small="second-hand" if is_second_hand else "")


def _published(row: Any) -> str:
    modality = "all" if pd.isna(row.modality) else MODALITY_NAMES.get(str(row.modality), "all")
    scanner = SCANNER.get(str(row.modality_pair))
    place = f"{modality} of {scanner}" if scanner else modality
    return f"{place} {number(row.value)}"
