"""The canvas of a snapshot: planes, colours, outlines, prompts, orientation letters, warnings."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Place = NDArray[np.float64]

REFERENCE, PREDICTION, PROMPT = "#3aa0e8", "#ff9a3d", "#f5e663"
REFERENCE_ON_WHITE, PREDICTION_ON_WHITE, PROMPT_ON_WHITE = "#0067a8", "#c44e00", "#8a2be2"


@dataclass(frozen=True, slots=True)
class Plane:
    """A view: which world axes run across and up, and what lies at its left and right."""

    name: str
    across: int
    up: int
    sides: tuple[str, str]


# across: from the image's left, which is the patient's right, or the front in sagittal planes
PLANES = (
    Plane("axial", 0, 1, ("R", "L")),
    Plane("coronal", 0, 2, ("R", "L")),
    Plane("sagittal", 1, 2, ("A", "P")),
)


def layers(
    white: bool, reference: NDArray[Any], prediction: NDArray[Any] | None
) -> list[tuple[NDArray[Any], str]]:
    """The masks with their colours."""
    layers = [(reference, REFERENCE_ON_WHITE if white else REFERENCE)]
    return (
        layers
        if prediction is None
        else [*layers, (prediction, PREDICTION_ON_WHITE if white else PREDICTION)]
    )


def outline(axis: Any, flat: Matrix, extent: Any, colour: str) -> None:
    """Draw where a sampled mask crosses a half; nothing where it never does.

    A picture of one row or column has no outline.
    """
    if min(flat.shape) < 2:
        return
    if flat.max(initial=0) >= 0.5 > flat.min(initial=1):
        axis.contour(
            flat, levels=[0.5], colors=[colour], linewidths=[1.4], extent=extent, origin="lower"
        )


def draw_prompts(
    axis: Any,
    plane: Plane,
    white: bool,
    points: Sequence[tuple[Place, bool]],
    box: tuple[Place, Place] | None,
) -> None:
    """Draw foreground points as +, others as x, a box as a dashed frame, at any depth."""
    colour = PROMPT_ON_WHITE if white else PROMPT
    for place, foreground in points:
        axis.plot(
            place[plane.across],
            place[plane.up],
            "+" if foreground else "x",
            color=colour,
            markersize=11,
            markeredgewidth=2,
        )
    if box:
        from matplotlib.patches import Rectangle

        (a, b), (c, d) = ((end[plane.across], end[plane.up]) for end in box)
        axis.add_patch(
            Rectangle(
                (min(a, c), min(b, d)),
                abs(c - a),
                abs(d - b),
                fill=False,
                edgecolor=colour,
                linewidth=1.2,
                linestyle="--",
            )
        )


def make_canvas(white: bool, count: int) -> tuple[Any, Any]:
    """A figure on black or white with so many panels beside each other."""
    from matplotlib.figure import Figure

    drawing = Figure(
        figsize=(3.1 * count, 3.3),
        dpi=110,
        facecolor="white" if white else "black",
        layout="constrained",
    )
    return drawing, drawing.subplots(1, count)


def label(axis: Any, plane: Plane, white: bool, extent: Any) -> None:
    """Turn the panel as radiologists look at it, and name its sides."""
    colour = "#333333" if white else "#d0d0d0"
    axis.set_xlim(extent[1], extent[0])  # the picture's left is the patient's right, or front
    axis.set_ylim(extent[2], extent[3])
    axis.set_aspect("equal")
    axis.set_axis_off()
    for x, side in ((0.02, plane.sides[0]), (0.98, plane.sides[1])):
        axis.text(
            x,
            0.5,
            side,
            transform=axis.transAxes,
            color=colour,
            fontsize=8,
            ha="left" if x < 0.5 else "right",
            va="center",
        )


def png(drawing: Any, white: bool, warnings: Sequence[str]) -> bytes:
    """The stamped figure as a PNG that says nothing else."""
    if warnings:
        drawing.text(
            0.995,
            0.006,
            " · ".join(warnings),
            ha="right",
            va="bottom",
            fontsize=7,
            color="#b3261e" if white else "#ff8a80",
            weight="bold",
            in_layout=False,
        )
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
