"""Figures of lesions on PET: agreement of a quantity, and lesions found by size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.analysis.pet_lesions import BIN_NAMES, UNITS
from evaluator.report.figures.style import (
    MUTED,
    PT,
    SERIES,
    SERIES_DASHES,
    SERIES_MARKERS,
    Figure,
    canvas,
    drawn,
    short,
)
from evaluator.report.tables import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MOST_COLUMNS = 3


@drawn
def uptake_agreement(
    values: pd.DataFrame,
    limits: pd.DataFrame,
    target: str,
    quantity: str,
    *,
    ratio: bool,
    name: str,
    warnings: Sequence[str],
) -> Figure:
    """Bland and Altman's plot of one quantity, one panel for each model.

    Args:
        values: model, subject, reference and predicted of one target and quantity.
        limits: bias and limits by model, of differences and of ratios.
        target: the target.
        quantity: a key of ``UNITS``.
        ratio: draw ratios over the geometric mean, on log scales.
        name: name of the files.
        warnings: what must be known of the figure.
    """
    models = list(dict.fromkeys(values["model"].astype(str)))
    columns = min(MOST_COLUMNS, len(models))
    rows = math.ceil(len(models) / columns)
    # one scale for all models: an error of the same size looks the same in every panel
    drawing, axes = canvas(
        2.1, 1.5, rows=rows, columns=columns, left=0.75, bottom=0.72, down=0.5, sharex=True,
        sharey=True,
    )  # fmt: skip
    places = list(axes.flat)
    for place, model in zip(places, models, strict=False):
        pairs = values.loc[values["model"] == model, ["predicted", "reference"]].to_numpy(float)
        _draw_pairs(place, pairs, ratio=ratio)
        for row in rows_of(limits[limits["model"] == model]):
            _draw_limits(place, row, ratio=ratio)
        place.set_title(short(model, 26))
    if ratio:  # the scales are shared, so they are known after the last model
        _label_log_scales(places[0])
    for place in places[len(models) :]:
        place.set_visible(False)
    _name_axes(drawing, quantity, ratio=ratio)
    scale = (
        "The differences grow with the size, so ratios are drawn, on log scales. " if ratio else ""
    )
    return Figure(
        name=name,
        title=f"{target}: {quantity} against the reference (Bland and Altman)",
        alt=f"Agreement of {quantity} of {target} over its size for {len(models)} models; bias and "
        "limits of agreement are in the table of uptake.",
        caption=f"One mark is one subject on PET. {scale}Solid line: bias; dashed: 95 % limits of "
        "agreement, from 5 subjects; thin grey line: no error.",
        drawing=drawing,
        data=values,
        warnings=warnings,
    )


def _name_axes(drawing: Any, quantity: str, *, ratio: bool) -> None:
    """Quantity and unit of both axes, for all panels at once."""
    unit = UNITS[quantity]
    mean = "geometric mean" if ratio else "mean"
    across = f"{mean} of predicted and reference {quantity}, {unit}"
    up = (
        f"{quantity}, predicted / reference"
        if ratio
        else f"{quantity}, predicted − reference, {unit}"
    )
    # above the line of warnings
    drawing.supxlabel(across, fontsize=8.5, color=MUTED, y=0.2 / drawing.get_figheight())
    drawing.supylabel(up, fontsize=8.5, color=MUTED, x=0.12 / drawing.get_figwidth())


def _draw_pairs(place: Any, pairs: Any, *, ratio: bool) -> None:
    if ratio:
        pairs = pairs[(pairs > 0).all(axis=1)]
        x, y = np.sqrt(pairs.prod(axis=1)), pairs[:, 0] / pairs[:, 1]
        place.set_xscale("log")
        place.set_yscale("log")
    else:
        x, y = pairs.mean(axis=1), pairs[:, 0] - pairs[:, 1]
        place.locator_params(nbins=4)
    place.axhline(1 if ratio else 0, color=MUTED, linewidth=0.9, zorder=0)
    place.plot(x, y, "D", color=PT, markersize=3.8, markeredgewidth=0, alpha=0.7)


def _label_log_scales(place: Any) -> None:
    """Plain numbers at a few ticks of log scales, for the present limits of the axes."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (place.xaxis, place.yaxis):
        low, high = axis.get_view_interval()
        subs = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=subs, numticks=6))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _draw_limits(place: Any, row: Any, *, ratio: bool) -> None:
    lines = (
        (row.ratio, row.ratio_limit_low, row.ratio_limit_high)
        if ratio
        else (row.bias, row.limit_low, row.limit_high)
    )
    for value, dashes in zip(lines, ("-", (0, (4, 2)), (0, (4, 2))), strict=True):
        if value is not None and np.isfinite(value):
            place.axhline(float(value), color=PT, linewidth=1.2, linestyle=dashes, zorder=1)


@drawn
def detection(found: pd.DataFrame, target: str, *, name: str, warnings: Sequence[str]) -> Figure:
    """Share of the reference's lesions that were found, by size, one line for each model."""
    drawing, axes = canvas(4.6, 2.2, left=0.75)
    place = axes.flat[0]
    models = list(dict.fromkeys(found["model"].astype(str)))
    for number, model in enumerate(models):
        rows = list(rows_of(found[(found["model"] == model) & (found["lesions"] > 0)]))
        style = number % len(SERIES)
        shift = 0.08 * (number - (len(models) - 1) / 2)
        x = [BIN_NAMES.index(str(row.size)) + shift for row in rows]
        y = [float(row.touched) for row in rows]
        place.plot(
            x, y, color=SERIES[style], marker=SERIES_MARKERS[style],
            linestyle=SERIES_DASHES[style], markersize=4, label=short(model, 26),
        )  # fmt: skip
        for position, row in zip(x, rows, strict=True):
            if np.isfinite(row.touched_low):
                ends = [float(row.touched_low), float(row.touched_high)]
                place.plot([position] * 2, ends, color=SERIES[style], linewidth=0.9)
    place.set_xticks(range(len(BIN_NAMES)), BIN_NAMES)
    place.set_xlim(-0.5, len(BIN_NAMES) - 0.5)
    place.set_ylim(-0.03, 1.03)
    place.set_ylabel("share of lesions found")
    place.legend(loc="lower right")
    return Figure(
        name=name,
        title=f"{target}: lesions found by size",
        alt=f"Share of lesions of {target} that a prediction touches, by volume, for "
        f"{len(models)} models; the numbers are in the table of lesions.",
        caption="A lesion is found if a predicted voxel lies in it. Thin lines: 95 % intervals, "
        "from 5 subjects.",
        drawing=drawing,
        data=found,
        warnings=warnings,
    )
