"""Distributions: for one target every model and modality as a box with its subjects' values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.metric_table import METRICS
from evaluator.report.figures.scales import limit_scores, worded
from evaluator.report.figures.style import (
    COLOURS,
    INK,
    PAPER,
    Figure,
    canvas,
    drawn,
    room_for,
    short,
)
from evaluator.report.tables import MODALITY_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

#: values drawn one by one in a row, at most; of more some are drawn, by chance
SHOWN = 60


@drawn
def distributions(
    values: pd.DataFrame, target: str, metric: str, *, name: str, warnings: Sequence[str]
) -> Figure:
    """Draw a box for each model and modality of one target.

    ``values`` has the columns model, modality, subject, value and failed.
    """
    models = list(dict.fromkeys(values["model"].astype(str)))
    modalities = [name for name in COLOURS if name in set(values["modality"].astype(str))]
    rows = [(model, modality) for model in models for modality in modalities]
    groups = {
        (str(a), str(b)): group
        for (a, b), group in values.groupby(["model", "modality"], observed=True)
    }
    gap = 0.6
    heights = {key: -(n + gap * (n // len(modalities))) for n, key in enumerate(rows)}
    labels = [_label(key, groups.get(key)) for key in rows]
    drawn_figure, panels = canvas(
        5.2, 0.19 * (-min(heights.values()) + 1), left=room_for(labels, 7.5), top=0.1
    )
    axes = panels[0][0]
    for key in rows:
        group = groups.get(key)
        if group is not None and group["value"].notna().any():
            _row(axes, group["value"].dropna().to_numpy(dtype=float), heights[key], COLOURS[key[1]])
    axes.set_yticks(list(heights.values()), labels)
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_ylim(min(heights.values()) - 0.8, 0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(worded(metric))
    limit_scores(axes, metric)
    title = METRICS[metric].title
    return Figure(
        name=name,
        title=f"{target}: distribution of {title} over subjects",
        alt=f"Boxes of {title} for {target} by model and modality; median and quartiles are in the "
        "table of means.",
        caption="Box: quartiles and median over subjects; whiskers: 5th and 95th percentile; thin "
        f"strokes: subjects, at most {SHOWN} a row.",
        drawing=drawn_figure,
        data=values,
        warnings=warnings,
    )


def _label(key: tuple[str, str], rows: pd.DataFrame | None) -> str:
    if rows is None:
        return f"{short(key[0])}  {MODALITY_NAMES[key[1]]}  n 0"
    failed = int(rows["failed"].sum())
    return f"{short(key[0])}  {MODALITY_NAMES[key[1]]}  n {len(rows)}" + (
        f", {failed} failed" if failed else ""
    )


def _row(axes: Any, values: np.ndarray, height: float, colour: str) -> None:
    low, q1, median, q3, high = np.percentile(values, (5, 25, 50, 75, 95))
    axes.plot([low, high], [height, height], color=colour, linewidth=1)
    axes.barh(height, q3 - q1, left=q1, height=0.62, color=PAPER, edgecolor=colour, linewidth=1.1)
    shown = (
        values
        if len(values) <= SHOWN
        else np.random.default_rng(0).choice(values, SHOWN, replace=False)
    )
    xs = np.stack([shown, shown, np.full(len(shown), np.nan)], axis=1).ravel()
    ys = np.tile([height - 0.16, height + 0.16, np.nan], len(shown))
    axes.plot(xs, ys, color=colour, linewidth=0.6, alpha=0.6)
    axes.plot([median, median], [height - 0.31, height + 0.31], color=INK, linewidth=1.8)
