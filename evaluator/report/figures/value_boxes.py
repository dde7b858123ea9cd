"""Boxes of one quantity, a row for each group, such as volumes of organs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.report.figures.style import INK, PAPER, Figure, canvas, drawn, room_for, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: values drawn one by one in a row, at most; of more some are drawn, by chance
SHOWN = 60
#: labels of a logarithmic axis, at most; over a larger ratio only powers of ten have one
TICKS, DECADES = 6, 100


@drawn
def value_boxes(
    groups: Mapping[str, Sequence[float]],
    quantity: str,
    *,
    name: str,
    title: str,
    colour: str,
    logarithmic: bool = False,
    warnings: Sequence[str] = (),
) -> Figure:
    """Draw a box for each group of values.

    Args:
        groups: label -> values; groups without values are left out.
        quantity: what the values are, with the unit.
        name: of the figure's files.
        title: of the figure.
        colour: of the boxes.
        logarithmic: draw the values on a logarithmic axis, if all are above 0.
        warnings: to print on the figure.
    """
    filled = {label: np.asarray(values, float) for label, values in groups.items() if len(values)}
    labels = [f"{short(label)}  n {len(values)}" for label, values in filled.items()]
    drawing, panels = canvas(5.2, 0.2 * (len(filled) + 1), left=room_for(labels, 7.5), top=0.1)
    axes = panels[0][0]
    for number, values in enumerate(filled.values()):
        _box(axes, values, -number, colour)
    axes.set_yticks([-number for number in range(len(filled))], labels)
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_ylim(-len(filled) + 0.2, 0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(quantity)
    if logarithmic and all((values > 0).all() for values in filled.values()):
        _scale_log(axes)
    rows = []
    for label, values in filled.items():
        rows += [{"group": label, "value": value} for value in values.tolist()]
    return Figure(
        name=name,
        title=title,
        alt=f"Boxes of {quantity} for {len(filled)} groups; the table has medians and quartiles.",
        caption="Box: quartiles and median; whiskers: 5th and 95th percentile; thin strokes: "
        f"single values, at most {SHOWN} a row.",
        drawing=drawing,
        data=pd.DataFrame(rows, columns=["group", "value"]),
        warnings=warnings,
    )


def _scale_log(axes: Any) -> None:
    """A logarithmic axis with plain numbers at few ticks, as those of all minor ticks overlap."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = (1.0,) if high > DECADES * low else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=TICKS))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _box(axes: Any, values: NDArray[np.float64], height: float, colour: str) -> None:
    low, q1, median, q3, high = np.percentile(values, (5, 25, 50, 75, 95))
    axes.plot([low, high], [height, height], color=colour, linewidth=1)
    axes.barh(height, q3 - q1, left=q1, height=0.62, color=PAPER, edgecolor=colour, linewidth=1.1)
    shown = values
    if len(values) > SHOWN:
        shown = np.random.default_rng(0).choice(values, SHOWN, replace=False)
    for value in shown.tolist():
        axes.plot([value, value], [height - 0.16, height + 0.16], color=colour, linewidth=0.6)
    axes.plot([median, median], [height - 0.31, height + 0.31], color=INK, linewidth=1.8)
