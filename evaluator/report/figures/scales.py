"""Colours of heat maps and limits of axes, by what a metric means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evaluator.metrics.metric_table import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

#: from poor to good; the lightness falls evenly, so that it reads in grey and to colour-blind eyes
_RAMP = (
    (0xF7, 0xF1, 0xE6),
    (0xD9, 0xDE, 0xDC),
    (0x9F, 0xC0, 0xD0),
    (0x4F, 0x8F, 0xB3),
    (0x0F, 0x53, 0x7D),
)
#: off by so many of the metric's units (or so many times, lesions) looks as poor as it gets
_POOREST = {"mm": 60.0, "ml": 500.0, "SUV": 10.0, "SUV ml": 2000.0, "": 2.0}


def goodness(value: float, metric: str) -> float:
    """Where a figure lies between poor (0) and good (1), for colour alone."""
    row = METRICS[metric]
    if row.direction == "higher":
        return min(max(value, 0.0), 1.0)
    return 1 - min(math.log1p(abs(value)) / math.log1p(_POOREST[row.unit]), 1.0)


def heat(value: float, metric: str) -> tuple[str, str]:
    """Ground and ink of a heat map's cell."""
    return blend(_RAMP, goodness(value, metric))


def blend(ramp: Sequence[tuple[int, int, int]], place: float) -> tuple[str, str]:
    """Return the colour at a position in [0, 1] of a ramp, and a text colour (WCAG AA, 4.5:1)."""
    place *= len(ramp) - 1
    low = min(int(place), len(ramp) - 2)
    ground = tuple(
        round(a + (b - a) * (place - low)) for a, b in zip(ramp[low], ramp[low + 1], strict=True)
    )
    light = _luminance(ground)
    return "#{:02x}{:02x}{:02x}".format(*ground), "#000000" if (
        light + 0.05
    ) ** 2 >= 0.05 * 1.05 else "#ffffff"


def limit_scores(axes: Axes, metric: str, along: str = "x") -> None:
    """Axis limits that do not flatter: a score in [0, 1] is shown from 0 to 1."""
    row = METRICS[metric]
    limits = getattr(axes, f"set_{along}lim")
    if row.direction == "higher":
        limits(-0.02, 1.02)
    elif not row.signed:
        limits(left=0) if along == "x" else limits(bottom=0)


def worded(metric: str) -> str:
    """The metric's title with its unit and which way is better, for an axis."""
    row = METRICS[metric]
    unit = f" ({row.unit})" if row.unit else ""
    better = "0 is perfect" if row.signed else f"{row.direction} is better"
    return f"{row.title}{unit}, {better}"


def _luminance(colour: tuple[int, ...]) -> float:
    parts = [part / 255 for part in colour]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
