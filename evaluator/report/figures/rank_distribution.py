"""Stability of a ranking: how often each model has each place, over resamples of subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from evaluator.report.figures.style import CT, INK, MUTED, Figure, canvas, drawn, room_for, short
from evaluator.report.tables import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence


#: of the disc of a model that is always at one place, points squared
LARGEST = 260.0


@drawn
def places(
    distribution: pd.DataFrame, ranks: pd.DataFrame, *, name: str, warnings: Sequence[str]
) -> Figure:
    """Draw a panel for each order of aggregation from tables of ``ranking.Ranks``."""
    orders = list(dict.fromkeys(ranks["order"].astype(str)))
    ordered = ranks[ranks["order"] == orders[0]].sort_values(
        ["place", "mean_rank", "model"], kind="stable"
    )
    models = [str(model) for model in ordered["model"]]
    width = max(2.4, 0.32 * len(models) + 0.6)
    names = [short(model) for model in reversed(models)]
    drawn_figure, axes = canvas(
        width, 0.32 * len(models), columns=len(orders), left=room_for(names), sharey=True
    )
    height = {model: len(models) - 1 - n for n, model in enumerate(models)}
    for panel, order in zip(axes[0], orders, strict=True):
        group = distribution[(distribution["order"] == order) & (distribution["share"] > 0)]
        panel.scatter(
            group["place"],
            [height[str(model)] for model in group["model"]],
            s=group["share"].astype(float) * LARGEST,
            color=CT,
            alpha=0.55,
            linewidths=0,
        )
        for row in rows_of(ranks[ranks["order"] == order]):
            panel.plot(
                row.place, height[str(row.model)], "x", color=INK, markersize=6, markeredgewidth=1.6
            )
            if not pd.isna(row.place_low):
                panel.plot(
                    [row.place_low, row.place_high],
                    [height[str(row.model)]] * 2,
                    color=MUTED,
                    linewidth=1,
                )
        panel.set_title(order)
        panel.set_xlabel("place")
        panel.set_xlim(0.4, len(models) + 0.6)
        panel.set_xticks(_ticks(len(models)))
        panel.set_yticks(range(len(models)), names)
        panel.set_ylim(-0.6, len(models) - 0.4)
    return Figure(
        name=name,
        title="Places over resamples of the subjects",
        alt=f"For each of {len(models)} models how often it has each place; the values are in the "
        "table below.",
        caption="Area of a disc: share of resamples in which the model has that place; cross: its "
        "place for all subjects; line: from the 2.5 % to the 97.5 % quantile.",
        drawing=drawn_figure,
        data=distribution,
        warnings=warnings,
    )


def _ticks(count: int) -> list[int]:
    step = max(1, count // 10)
    return [1, *range(step if step > 1 else 2, count + 1, step)]
