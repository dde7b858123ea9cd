"""Forest plots: paired differences between modalities by target, with interval and margin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.metrics.metric_table import METRICS
from evaluator.report.figures.style import (
    BAND,
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    Figure,
    canvas,
    despine,
    drawn,
    room_for,
    short,
)
from evaluator.report.tables import MODALITY_NAMES, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_COLUMNS = 3


@drawn
def forest(
    rows: pd.DataFrame,
    modality_pair: str,
    targets: Sequence[str],
    *,
    margin: float | None,
    name: str,
    warnings: Sequence[str],
) -> Figure:
    """Draw one panel for each model.

    ``rows`` are of ``Comparison.modality`` for one modality pair, metric and failure rule.
    """
    metric = str(rows["metric"].iloc[0])
    structural, functional = modality_pair.split("-")
    models = list(dict.fromkeys(rows.loc[rows["status"] != "unsupported", "model"]))
    named = [target for target in (*targets, ALL_TARGETS) if target in set(rows["target"])]
    columns = min(MOST_COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    drawn_figure, axes = canvas(
        2.75,
        0.225 * len(named),
        rows=lines,
        columns=columns,
        left=room_for(map(short, named)),
        sharex=True,
        sharey=True,
    )
    for n, (place, model) in enumerate(zip(axes.flat, models, strict=False)):
        _panel(place, rows[rows["model"] == model], named, margin, functional)
        place.set_title(short(model))
        if n // columns == lines - 1 or n + columns >= len(models):
            place.tick_params(labelbottom=True)
            _arrows(place, metric, structural, functional)
    for place in list(axes.flat)[len(models) :]:
        place.set_visible(False)
    title = METRICS[metric].title
    band = f"Grey band: the margin of ±{margin:g}." if margin else ""
    return Figure(
        name=name,
        title=f"{title} on {structural} minus {title} on PET, within the subject",
        alt=f"For each of {len(models)} models and {len(named)} targets the paired difference in "
        f"{title} between {structural} and PET with its 95 % interval; the values are in the table "
        "of differences.",
        caption="Mark: mean paired difference; thick bar: its 95 % interval by the observed "
        "spread; thin bar: with an allowance for failures that were not seen. Filled marks: "
        "significant after Holm's correction; hollow marks: not significant. "
        "Thin grey line below: the difference without the grid's part, with its interval. " + band,
        drawing=drawn_figure,
        data=rows,
        warnings=warnings,
    )


def _panel(
    axes: Any, rows: pd.DataFrame, named: Sequence[str], margin: float | None, functional: str
) -> None:
    despine(axes)
    if margin:
        axes.axvspan(-margin, margin, color=BAND, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.9)
    for row in rows_of(rows):
        if pd.isna(row.difference) or row.target not in named:
            continue
        height = len(named) - 1 - named.index(row.target)
        is_overall = row.target == ALL_TARGETS
        colour = INK if is_overall else COLOURS[functional]
        if not pd.isna(row.low):
            width = 2.2 if is_overall else 1.5
            for low, high, thickness in (
                (row.low, row.high, 0.6),
                (row.low_observed, row.high_observed, width),
            ):
                axes.plot([low, high], [height, height], color=colour, linewidth=thickness)
        filled = str(row.verdict).startswith("different")
        axes.plot(
            row.difference,
            height,
            MARKERS[functional],
            color=colour,
            markersize=6.5 if is_overall else 5,
            markerfacecolor=colour if filled else PAPER,
            markeredgewidth=1.2,
        )
        if pd.notna(row.controlled_difference):
            _controlled(axes, row, height - 0.3)
    axes.set_yticks(range(len(named)), [short(target) for target in reversed(named)])
    axes.set_ylim(-0.6, len(named) - 0.4)
    if ALL_TARGETS in named:
        axes.axhline(0.5, color=MUTED, linewidth=0.6)


def _controlled(axes: Any, row: Any, height: float) -> None:
    """Draw the difference without the grid's part, small and below the raw one."""
    if pd.notna(row.controlled_low):
        ends = [row.controlled_low, row.controlled_high]
        axes.plot(ends, [height, height], color=MUTED, linewidth=1.0)
    axes.plot(row.controlled_difference, height, "|", color=MUTED, markersize=5)


def _arrows(axes: Any, metric: str, structural: str, functional: str) -> None:
    first, second = (
        (functional, structural)
        if METRICS[metric].direction == "higher"
        else (structural, functional)
    )
    gap = "\u00a0" * 4
    axes.set_xlabel(f"← better on {MODALITY_NAMES[first]}{gap}better on {MODALITY_NAMES[second]} →")
