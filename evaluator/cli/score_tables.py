"""The tables of ``umd score``: one row for each pair and target, and the means over pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.cli.table_layout import Column, Table
from evaluator.metrics.metric_table import METRICS
from evaluator.scoring.score_summary import VOLUMES, key_of, target_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = dict[str, Any]

#: decimals of scores; those of a run's tables are fewer, because they are means
DIGITS = 4
ERROR = "error"
"""Status of a pair that could not be scored."""


def score_rows(results: Sequence[Json], metrics: Sequence[str], *, complete: bool) -> Table:
    """A row for each pair and target.

    Args:
        results: of ``umd score``.
        metrics: their metrics.
        complete: with columns that have no value in any row.
    """
    rows = [row for result in results for row in _rows(result)]
    columns = [
        Column(name="name", text=True, wraps=True, shared=True),
        Column(name="target", text=True),
        Column(name="label", text=True, level=len(metrics) + 2),
        Column(name="status", text=True, shared=True),
        *_metric_columns(metrics),
        *(Column(name=name, heading=_heading(name), level=len(metrics) + 1) for name in VOLUMES),
        Column(name="detail", text=True, wraps=True, level=len(metrics) + 3),
    ]
    if not complete:
        empty = (None, "")
        columns = [
            column for column in columns if any(row.get(column.name) not in empty for row in rows)
        ]
    return Table(
        columns=columns, rows=[[row.get(column.name) for column in columns] for row in rows]
    )


def mean_rows(results: Sequence[Json], metrics: Sequence[str]) -> Table:
    """The means of each target over pairs, with missing predictions counted where there are any."""
    entries = target_means(results, metrics)
    columns = [
        Column(name="target", text=True),
        Column(name="pairs"),
        Column(name="missing", level=1),
        Column(name="undefined", heading="without\nthe target", level=1),
    ]
    counted = {key for entry in entries for key in entry.counted}
    for column, metric in zip(_metric_columns(metrics), metrics, strict=True):
        columns.append(column)
        if key_of(metric) in counted:
            columns.append(_counted_column(column, metric))
    rows = [_mean_row(entry.means, entry.counted) | _counts(entry) for entry in entries]
    return Table(
        title="means over pairs",
        columns=columns,
        rows=[[row.get(column.name) for column in columns] for row in rows],
    )


def _metric_columns(metrics: Sequence[str]) -> list[Column]:
    """The first metric is shown on the narrowest terminal, the last on the widest."""
    return [
        Column(name=key_of(metric), heading=_heading(key_of(metric)), level=level, digits=DIGITS)
        for level, metric in enumerate(metrics)
    ]


def _heading(key: str) -> str:
    """The name, then the unit."""
    for unit in ("_mm2", "_ml", "_mm"):
        if key.endswith(unit) and key not in METRICS:
            return key.removesuffix(unit).replace("_", " ") + f",\n{unit[1:]}"
    return key


def _counted_column(column: Column, metric: str) -> Column:
    return Column(
        name=f"{column.name}_with_missing",
        heading=f"{column.title},\nmissing as {METRICS[metric].worst:g}",
        level=column.level,
        digits=DIGITS,
    )


def _rows(result: Json) -> list[Json]:
    warnings = "; ".join(result.get("warnings", ()))
    if "error" in result:
        return [{"name": result["name"], "status": ERROR, "detail": result["error"]}]
    rows = []
    for target in result["targets"]:
        label = target["label"]
        labels = " ".join(map(str, label)) if isinstance(label, list) else str(label)
        row = {"name": result["name"], "target": target["name"], "label": labels}
        rows.append(target | row | {"detail": warnings})
    return rows


def _mean_row(means: Mapping[str, float], counted: Mapping[str, float]) -> Json:
    return {**means, **{f"{key}_with_missing": value for key, value in counted.items()}}


def _counts(entry: Any) -> Json:
    return {
        "target": entry.target,
        "pairs": entry.pairs,
        "missing": entry.missing,
        "undefined": entry.undefined,
    }
