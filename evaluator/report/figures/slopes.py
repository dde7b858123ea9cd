"""Paired slope graphs: each subject is a line from the structural image to PET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.metrics.metric_table import METRICS
from evaluator.report.figures.scales import limit_scores, worded
from evaluator.report.figures.style import (
    BAD,
    COLOURS,
    INK,
    MUTED,
    PAPER,
    Figure,
    canvas,
    drawn,
    short,
)
from evaluator.report.tables import MODALITY_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

MOST_COLUMNS = 6
#: from one panel to the next, where a subject's line is 1 wide
STEP = 1.62
#: lines in all panels together, and the fewest and most in one; of more subjects a sample is drawn
LINES, FEWEST, MOST = 1200, 10, 60


@drawn
def slopes(
    paired: pd.DataFrame, target: str, metric: str, *, name: str, warnings: Sequence[str]
) -> Figure:
    """Draw one panel for each model and modality pair of one target.

    ``paired`` has the columns model, modality_pair, subject, structural, functional and failed.
    """
    keys = list(
        dict.fromkeys(
            zip(paired["model"].astype(str), paired["modality_pair"].astype(str), strict=True)
        )
    )
    by_pairing = [
        [key for key in keys if key[1] == modality_pair]
        for modality_pair in dict.fromkeys(modality_pair for _, modality_pair in keys)
    ]
    columns = min(MOST_COLUMNS, max(map(len, by_pairing)))
    lines = [group[n : n + columns] for group in by_pairing for n in range(0, len(group), columns)]
    drawn_figure, axes = canvas(
        STEP * columns * 0.9, 1.6, rows=len(lines), top=0.45, bottom=0.45, down=0.75, sharey=True
    )
    shown = min(max(LINES // len(keys), FEWEST), MOST)
    groups = {
        (str(m), str(p)): group
        for (m, p), group in paired.groupby(["model", "modality_pair"], observed=True)
    }
    for (row,), line in zip(axes, lines, strict=True):
        _row(row, [(key, groups[key]) for key in line], columns, shown)
        limit_scores(row, metric, "y")
    drawn_figure.supylabel(
        worded(metric), fontsize=8.5, color=MUTED, x=0.12 / drawn_figure.get_figwidth()
    )
    most = paired.groupby(["model", "modality_pair"], observed=True).size().max()
    sampled = (
        f" {shown} of up to {most} subjects are drawn, picked by chance; the thick line is of all."
        if most > shown
        else ""
    )
    title = METRICS[metric].title
    return Figure(
        name=name,
        title=f"{target}: {title} of each subject, structural image and PET",
        alt=f"Lines of {title} for {target}, one a subject, for {len(keys)} pairs of model and "
        "scanner; the mean differences are in the table of differences.",
        caption="One thin line is one subject; the thick line joins the means. Red: a prediction "
        f"failed and is included as the protocol defines.{sampled}",
        drawing=drawn_figure,
        data=paired,
        warnings=warnings,
    )


def _row(
    axes: Any, panels: list[tuple[tuple[str, str], pd.DataFrame]], columns: int, shown: int
) -> None:
    """Draw panels side by side on one pair of axes, which keeps the file small."""
    thin: dict[str, list[NDArray[np.float64]]] = {MUTED: [], BAD: []}
    means, ticks = [], []
    for n, (key, rows) in enumerate(panels):
        x = np.array([n * STEP, n * STEP + 1, np.nan])
        ends = rows[["structural", "functional"]].to_numpy(dtype=float)
        failed = rows["failed"].to_numpy(dtype=bool)
        drawn_rows = np.sort(np.random.default_rng(0).permutation(len(ends))[:shown])
        for colour, mask in ((MUTED, ~failed), (BAD, failed)):
            chosen = ends[drawn_rows[mask[drawn_rows]]]
            lines = np.full((len(chosen), 3, 2), np.nan)
            lines[:, :, 0], lines[:, :2, 1] = x, chosen
            thin[colour].append(lines.reshape(-1, 2))
        mean = ends.mean(axis=0)
        means.append(np.array([[x[0], mean[0]], [x[1], mean[1]], [np.nan, np.nan]]))
        for place, value, name in zip(x, mean, key[1].split("-"), strict=False):
            axes.plot(
                place,
                value,
                "o",
                color=COLOURS[name],
                markersize=6,
                markeredgecolor=PAPER,
                markeredgewidth=0.8,
                zorder=4,
            )
            ticks.append((place, MODALITY_NAMES[name]))
        label_text = f"{short(key[0], 20)}\nn {len(ends)}, {int(failed.sum())} failed"
        axes.text(
            x[0] - 0.2,
            1.04,
            label_text,
            transform=axes.get_xaxis_transform(),
            fontsize=7.5,
            weight="bold",
            va="bottom",
        )
    for colour, parts in thin.items():
        axes.plot(*np.concatenate(parts).T, color=colour, linewidth=0.7, alpha=0.45)
    axes.plot(*np.concatenate(means).T, color=INK, linewidth=2.2)
    axes.set_xticks(*zip(*ticks, strict=True))
    axes.set_xlim(-0.3, columns * STEP - 0.3)
    axes.grid(axis="x", visible=False)
    axes.spines["bottom"].set_visible(False)
