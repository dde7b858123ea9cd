"""Bland and Altman's plot of volumes: what a prediction is off by, over how large the target is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.report.figures.style import COLOURS, MARKERS, MUTED, Figure, canvas, drawn, short
from evaluator.report.tables import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_COLUMNS = 3
#: marks in all panels together, and the fewest and most marks of a modality in a panel
MARKS, FEWEST, MOST = 900, 10, 60


@drawn
def agreement(
    volumes: pd.DataFrame, limits: pd.DataFrame, target: str, *, name: str, warnings: Sequence[str]
) -> Figure:
    """One panel for each model.

    ``volumes``: model, modality, subject, predicted, reference (ml) of one target.
    ``limits``: its rows of ``Comparison.volumes`` over all scans.
    """
    models = list(dict.fromkeys(volumes["model"].astype(str)))
    groups = {
        (str(m), str(x)): group
        for (m, x), group in volumes.groupby(["model", "modality"], observed=True)
    }
    columns = min(MOST_COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    # one scale for all models: an error of the same size looks the same in every panel
    drawn_figure, axes = canvas(
        2.1, 1.5, rows=lines, columns=columns, left=0.75, down=0.5, sharex=True, sharey=True
    )
    shown = min(max(MARKS // len(groups), FEWEST), MOST)
    for place, model in zip(axes.flat, models, strict=False):
        for modality in COLOURS:
            if (group := groups.get((model, modality))) is not None:
                _marks(place, group, modality, shown)
        for row in rows_of(limits[limits["model"] == model]):
            _lines(place, row)
        place.axhline(0, color=MUTED, linewidth=0.9, zorder=0)
        place.set_title(short(model, 26))
        place.locator_params(nbins=4)
    for place in list(axes.flat)[len(models) :]:
        place.set_visible(False)
    drawn_figure.supxlabel("mean of predicted and reference volume, ml", fontsize=8.5, color=MUTED)
    drawn_figure.supylabel(
        "volume, predicted − reference, ml",
        fontsize=8.5,
        color=MUTED,
        x=0.12 / drawn_figure.get_figwidth(),
    )
    most = max(map(len, groups.values()))
    sampled = (
        f" Of up to {most} subjects of a modality {shown} are drawn, picked by chance."
        if most > shown
        else ""
    )
    return Figure(
        name=name,
        title=f"{target}: volumes against the reference (Bland and Altman)",
        alt=f"Predicted minus reference volume of {target} over the mean of both, for "
        f"{len(models)} models; bias and limits of agreement are in the table of volumes.",
        caption="One mark is one subject; circles: CT; squares: MR; diamonds: PET. Solid line: "
        "mean difference (bias); dashed: limits of agreement, bias ± 1.96 standard deviations, "
        f"from 5 subjects.{sampled}",
        drawing=drawn_figure,
        data=volumes,
        warnings=warnings,
    )


def _marks(axes: Any, rows: pd.DataFrame, modality: str, shown: int) -> None:
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:shown])
    paired = rows[["predicted", "reference"]].to_numpy(dtype=float)[chosen]
    axes.plot(
        paired.mean(axis=1),
        paired[:, 0] - paired[:, 1],
        MARKERS[modality],
        color=COLOURS[modality],
        markersize=3.8,
        markeredgewidth=0,
        alpha=0.7,
    )


def _lines(axes: Any, row: Any) -> None:
    colour = COLOURS[str(row.modality)]
    for value, dashes in (
        (row.bias, "-"),
        (row.limit_low, (0, (4, 2))),
        (row.limit_high, (0, (4, 2))),
    ):
        if pd.notna(value):
            axes.axhline(float(value), color=colour, linewidth=1.2, linestyle=dashes, zorder=1)
