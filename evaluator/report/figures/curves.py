"""Curves with a band: score over rounds, displacement of the point or growth of the box."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evaluator.metrics.metric_table import METRICS
from evaluator.report.figures.scales import limit_scores, worded
from evaluator.report.figures.style import COLOURS, MARKERS, Figure, canvas, drawn, short
from evaluator.report.tables import MODALITY_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MOST_COLUMNS = 3


@drawn
def curves(
    rows: pd.DataFrame,
    metric: str,
    *,
    along: str,
    title: str,
    caption: str,
    name: str,
    warnings: Sequence[str],
) -> Figure:
    """Draw one panel for each model and one line for each modality.

    ``rows`` has the columns model, modality, x, mean, low and high; ``along`` is the title of x.
    """
    models = list(dict.fromkeys(rows["model"].astype(str)))
    columns = min(MOST_COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    drawn_figure, axes = canvas(
        2.45, 1.75, rows=lines, columns=columns, down=0.4, sharex=True, sharey=True
    )
    for n, (place, model) in enumerate(zip(axes.flat, models, strict=False)):
        for modality, group in rows[rows["model"] == model].groupby("modality", observed=True):
            _line(place, group.sort_values("x"), str(modality))
        place.set_title(short(model))
        limit_scores(place, metric, "y")
        if n + columns >= len(models):
            place.set_xlabel(along)
            place.tick_params(labelbottom=True)
        if n % columns == 0:
            place.set_ylabel(worded(metric).split(",")[0])
    for place in list(axes.flat)[len(models) :]:
        place.set_visible(False)
    axes.flat[0].legend(loc="best")
    return Figure(
        name=name,
        title=title,
        alt=f"{title}: {METRICS[metric].title} for {len(models)} models by modality; the values "
        "are in the table below.",
        caption=caption,
        drawing=drawn_figure,
        data=rows,
        warnings=warnings,
    )


def _line(axes: Any, rows: pd.DataFrame, modality: str) -> None:
    x, mean = rows["x"].astype(float), rows["mean"].astype(float)
    present = rows[rows["low"].notna()]
    if len(present):
        axes.fill_between(
            present["x"].astype(float), present["low"].astype(float), present["high"].astype(float),
            color=COLOURS[modality], alpha=0.16, linewidth=0,
        )  # fmt: skip
    axes.plot(
        x,
        mean,
        color=COLOURS[modality],
        marker=MARKERS[modality],
        markersize=4,
        label=MODALITY_NAMES[modality],
    )
