"""The first figure: each model's means by modality, with literature-reported means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.metrics.metric_table import METRICS
from evaluator.report.figures.scales import limit_scores, worded
from evaluator.report.figures.style import (
    COLOURS,
    MARKERS,
    PAPER,
    RULE,
    Figure,
    canvas,
    drawn,
    room_for,
    short,
)
from evaluator.report.tables import SCANNER, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@drawn
def levels(
    rows: pd.DataFrame, published: pd.DataFrame, *, name: str, warnings: Sequence[str]
) -> Figure:
    """Draw one panel for each modality pair.

    ``rows`` are of ``Comparison.means`` for all targets and one metric, with failures included.
    """
    metric = str(rows["metric"].iloc[0])
    modality_pairs = list(dict.fromkeys(rows["modality_pair"]))
    models = _ordered(rows)
    names = [short(model) for model in reversed(models)]
    drawn_figure, axes = canvas(
        3.3, 0.34 * len(models), columns=len(modality_pairs), left=room_for(names), sharey=True
    )
    for place, modality_pair in zip(axes[0], modality_pairs, strict=True):
        group = rows[rows["modality_pair"] == modality_pair]
        for row, model in enumerate(models):
            _model(place, group[group["model"] == model], len(models) - 1 - row)
            _reported(place, published, model, modality_pair, len(models) - 1 - row)
        place.set_title(SCANNER.get(modality_pair, modality_pair))
        place.set_yticks(range(len(models)), names)
        place.set_ylim(-0.6, len(models) - 0.4)
        place.set_xlabel(worded(metric))
        place.grid(axis="y", visible=False)
        limit_scores(place, metric)
    title = METRICS[metric].title
    return Figure(
        name=name,
        title=f"Mean {title} over all targets, by modality",
        alt=f"Mean {title} of {len(models)} models on each modality with 95 % intervals; the "
        "values are in the table above.",
        caption="Circles: CT; squares: MR; diamonds: PET; bars: 95 % intervals over subjects; "
        "failures are included as the protocol defines. Small triangles: the floor, which an "
        "image-blind answer to the model’s prompt scores, and the ceiling, which the grid allows. "
        "A short vertical line is the literature-reported mean of the model.",
        drawing=drawn_figure,
        data=rows,
        warnings=warnings,
    )


def _ordered(rows: pd.DataFrame) -> list[str]:
    means = (
        rows.assign(mean=rows["mean"].astype(float)).groupby("model", observed=True)["mean"].mean()
    )
    higher = METRICS[str(rows["metric"].iloc[0])].direction == "higher"
    return [
        str(model)
        for model in means.sort_values(
            ascending=not higher, na_position="last", kind="stable"
        ).index
    ]


def _model(axes: Any, rows: pd.DataFrame, height: int) -> None:
    present = rows[rows["mean"].notna()]
    if len(present) > 1:
        axes.plot(
            present["mean"].astype(float),
            [height] * len(present),
            color=RULE,
            linewidth=3,
            zorder=1,
        )
    for n, row in enumerate(rows_of(present)):
        _limits(axes, row, height + ((0.13 if n == 0 else -0.13) if len(present) > 1 else 0.0))
        shift = (0.13 if n == 0 else -0.13) if len(present) > 1 else 0.0
        colour = COLOURS[str(row.modality)]
        if pd.notna(row.low):
            axes.plot(
                [row.low, row.high], [height + shift] * 2, color=colour, linewidth=1.4, zorder=2
            )
        axes.plot(
            row.mean,
            height + shift,
            MARKERS[str(row.modality)],
            color=colour,
            markersize=6,
            zorder=3,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
        )


def _limits(axes: Any, row: Any, height: float) -> None:
    """Mark the floor by a bracket to the right, the ceiling by one to the left."""
    colour = COLOURS[str(row.modality)]
    for value, marker in ((row.floor, 4), (row.ceiling, 5)):
        if pd.notna(value):
            axes.plot(value, height, marker=marker, color=colour, markersize=4, alpha=0.6, zorder=1)


def _reported(
    axes: Any, published: pd.DataFrame, model: str, modality_pair: str, height: int
) -> None:
    group = published[(published["model"] == model) & (published["kind"] == "literature")]
    group = group[group["target"] == ALL_TARGETS]
    for row in rows_of(group):
        if str(row.modality) in modality_pair.split("-"):
            axes.plot(
                [row.value] * 2,
                [height - 0.33, height + 0.33],
                color=COLOURS[str(row.modality)],
                linewidth=2.2,
            )
