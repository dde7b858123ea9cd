"""Outcome of predictions: without a mask, poor, or neither, for each model and modality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.report.figures.style import (
    BAD,
    BAND,
    MUTED,
    SERIES,
    Figure,
    canvas,
    drawn,
    room_for,
    short,
)
from evaluator.report.tables import MODALITY_NAMES, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

POOR_COLOUR = SERIES[4]


@drawn
def outcomes(rows: pd.DataFrame, poor: float, *, name: str, warnings: Sequence[str]) -> Figure:
    """``rows``: model, modality, predictions, failed, poor (counts)."""
    labels = [
        f"{short(str(row.model))}  {MODALITY_NAMES[str(row.modality)]}" for row in rows_of(rows)
    ]
    drawn_figure, panels = canvas(5.6, 0.26 * len(rows), left=room_for(labels), top=0.1)
    axes = panels[0][0]
    for n, row in enumerate(rows_of(rows)):
        left = 0.0
        for count, colour in (
            (row.failed, BAD),
            (row.poor, POOR_COLOUR),
            (row.predictions - row.failed - row.poor, BAND),
        ):
            share = 100 * count / row.predictions if row.predictions else 0.0
            axes.barh(-n, share, left=left, height=0.68, color=colour)
            left += share
        axes.text(
            101,
            -n,
            f"{row.failed} failed, {row.poor} poor of {row.predictions}",
            va="center",
            fontsize=7,
            color=MUTED,
        )
    axes.set_yticks([-n for n in range(len(rows))], labels)
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_xlim(0, 142)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("% of predictions")
    axes.grid(axis="y", visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return Figure(
        name=name,
        title="Outcome of predictions",
        alt=f"Shares of predictions that failed or are poor for {len(rows)} pairs of model and "
        "modality, written beside the bars.",
        caption=f"Red: no valid mask; ochre: a mask with a score below {poor:g}; grey: the rest.",
        drawing=drawn_figure,
        data=rows,
        warnings=warnings,
    )
