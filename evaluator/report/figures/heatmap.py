"""Heat maps as files: target by model and modality. Pages show the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from evaluator.metrics.metric_table import METRICS
from evaluator.report.figures.scales import heat
from evaluator.report.figures.style import MUTED, Figure, canvas, despine, drawn, room_for, short
from evaluator.report.tables import MODALITY_NAMES, digits_of, number, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@drawn
def heatmap(
    rows: pd.DataFrame, targets: Sequence[str], *, name: str, warnings: Sequence[str]
) -> Figure:
    """Draw rows of ``Comparison.means`` of one metric and failure rule, over all scans."""
    metric = str(rows["metric"].iloc[0])
    keys = list(
        dict.fromkeys(zip(rows["model"].astype(str), rows["modality"].astype(str), strict=True))
    )
    taken = rows[rows["status"] != "unsupported"]
    values = {(str(r.model), str(r.modality), str(r.target)): r.mean for r in rows_of(taken)}
    names = [short(target) for target in targets]
    heads = [f"{short(model)}  {MODALITY_NAMES[modality]}" for model, modality in keys]
    drawn_figure, panels = canvas(
        0.52 * len(keys),
        0.27 * len(targets),
        left=room_for(names),
        top=0.1,
        bottom=0.15 + room_for(heads),
    )
    axes = panels[0][0]
    despine(axes)
    axes.grid(visible=False)
    for column, key in enumerate(keys):
        for row, target in enumerate(targets):
            value = values.get((*key, target), pd.NA)
            shown = None if pd.isna(value) else float(value)
            ground, ink = ("none", MUTED) if shown is None else heat(shown, metric)
            axes.add_patch(_square(column, row, ground))
            text = number(shown, 2 if digits_of(metric) == 3 else 1)
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
    axes.set_xlim(-0.5, len(keys) - 0.5)
    axes.set_ylim(len(targets) - 0.5, -0.5)
    axes.set_yticks(range(len(targets)), names)
    axes.set_xticks(range(len(keys)), heads, rotation=90)
    title = METRICS[metric].title
    return Figure(
        name=name,
        title=f"Mean {title} by target, model and modality",
        alt=f"Mean {title} by target, model and modality, the figures of the table as colours.",
        caption="",
        drawing=drawn_figure,
        data=rows,
        warnings=warnings,
    )


def _square(column: int, row: int, ground: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=ground)
