"""How long a request takes: a box for each model and modality, on a logarithmic axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evaluator.report.figures.style import (
    COLOURS,
    INK,
    MUTED,
    PAPER,
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


#: labels of the axis, at most; over more decades, 2 and 5 have none, as they would overlap
MAX_LABELS = 7
MAX_DECADES_OF_MINOR_LABELS = 2.5


@drawn
def times(rows: pd.DataFrame, *, name: str, warnings: Sequence[str]) -> Figure:
    """``rows``: model, modality, requests, q1, median, q3, p95, slowest, in seconds."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    labels = [
        f"{short(str(row.model))}  {MODALITY_NAMES[str(row.modality)]}" for row in rows_of(rows)
    ]
    drawn_figure, panels = canvas(5.4, 0.24 * len(rows), left=room_for(labels), top=0.1)
    axes = panels[0][0]
    for n, row in enumerate(rows_of(rows)):
        colour = COLOURS[str(row.modality)]
        axes.plot([row.q3, row.p95], [-n, -n], color=colour, linewidth=1)
        axes.barh(
            -n,
            row.q3 - row.q1,
            left=row.q1,
            height=0.6,
            color=PAPER,
            edgecolor=colour,
            linewidth=1.1,
        )
        axes.plot([row.median] * 2, [-n - 0.3, -n + 0.3], color=INK, linewidth=1.8)
        axes.plot(row.slowest, -n, "|", color=colour, markersize=5)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    axes.xaxis.set_major_locator(LogLocator(numticks=MAX_LABELS))
    minor = (2.0, 5.0) if decades <= MAX_DECADES_OF_MINOR_LABELS else ()
    axes.xaxis.set_minor_locator(LogLocator(subs=minor) if minor else NullLocator())
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.tick_params(axis="x", which="minor", labelsize=7.5, labelcolor=MUTED)
    axes.set_yticks([-n for n in range(len(labels))], labels)
    axes.set_ylim(-len(labels) + 0.3, 0.7)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("seconds a request (all targets of one image), logarithmic")
    return Figure(
        name=name,
        title="Seconds a request",
        alt=f"Seconds a request for {len(rows)} pairs of model and modality; the values are in the "
        "table below.",
        caption="Box: quartiles and median; line: to the 95th percentile; stroke: the slowest.",
        drawing=drawn_figure,
        data=rows,
        warnings=warnings,
    )
