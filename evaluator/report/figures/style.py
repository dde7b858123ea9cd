"""Style and formats of figures: inline SVG in the page's colours, SVG file, PDF and CSV.

Colours are Okabe and Ito's, which colour-blind people can tell apart. In the inline SVG each is
replaced by the page's variable of that name, so that figures follow light and dark; files are
light, for papers.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from html import escape
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from evaluator.report.figures.fonts import NAME, WHOLE, font_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

P = ParamSpec("P")
R = TypeVar("R")

INK, MUTED, RULE, PAPER = "#1b1e22", "#595f67", "#d5d8dc", "#fefefe"
BAND = "#e9edf0"
CT, MR, PT = "#0072b2", "#008f68", "#c44e00"
BAD = "#b3261e"
COLOURS = {"CT": CT, "MR": MR, "PT": PT}
MARKERS = {"CT": "o", "MR": "s", "PT": "D"}
#: colour in a file -> variable in a page
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--surface",
    BAND: "--band",
    CT: "--ct",
    MR: "--mr",
    PT: "--pt",
    BAD: "--bad",
}
#: further series, one after another: told apart by colour, marker and dashes
SERIES = ("#0072b2", "#c44e00", "#008f68", "#a03b78", "#8a6d00", "#4a86c5", "#595f67")
SERIES_VARIABLES = {"#a03b78": "--series-4", "#8a6d00": "--series-5", "#4a86c5": "--series-6"}
SERIES_MARKERS = ("o", "D", "s", "^", "v", "P", "X")
SERIES_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

_DRAWN_FONT = f"'{NAME}', '{WHOLE}'"
_FILE_FONT = "Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with everything that is kept of it."""

    #: name of its files
    name: str
    title: str
    #: what it shows, for those who do not see it
    alt: str
    #: how to read it
    caption: str
    drawing: Drawing
    #: what was drawn
    data: pd.DataFrame
    #: what must be known of it wherever it goes ("SYNTHETIC"); it is written into the drawing, too
    warnings: Sequence[str] = ()


def canvas(
    width: float,
    height: float,
    *,
    rows: int = 1,
    columns: int = 1,
    left: float = 0.6,
    right: float = 0.15,
    top: float = 0.32,
    bottom: float = 0.55,
    across: float = 0.18,
    down: float = 0.62,
    **sharing: Any,
) -> tuple[Drawing, Any]:
    """A figure in the report's look and its axes, (rows, columns) of them; every measure in inches.

    ``width`` and ``height`` are those of one panel, ``across`` and ``down`` the room between
    panels. The room is given and not found out by drawing: matplotlib's own layouts draw everything
    twice.
    """
    from matplotlib.figure import Figure as Made

    wide, high = (
        left + columns * width + (columns - 1) * across + right,
        top + rows * height + (rows - 1) * down + bottom,
    )
    result = Made(figsize=(wide, high))
    room = {
        "left": left / wide,
        "right": 1 - right / wide,
        "top": 1 - top / high,
        "bottom": bottom / high,
        "wspace": across / width,
        "hspace": down / height,
    }
    return result, result.subplots(rows, columns, squeeze=False, gridspec_kw=room, **sharing)


def room_for(labels: Iterable[str], size: float = 8.5) -> float:
    """Inches that the longest of these labels takes, with a little air."""
    return 0.12 + max((len(label) for label in labels), default=0) * size * 0.0083


def short(label: str, most: int = 34) -> str:
    """A name that is too long for a figure, cut in its middle: its end may tell it from others.

    The tables have it whole.
    """
    end = most // 3
    return label if len(label) <= most else f"{label[: most - end - 1]}…{label[-end:]}"


def drawn(function: Callable[P, R]) -> Callable[P, R]:
    """Apply this module's matplotlib settings while the function runs."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with style():
            return function(*args, **kwargs)

    return inside


@cache
def _settings() -> Any:
    return {
        "font.family": font_families(),
        "font.size": 8.5,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": RULE,
        "axes.facecolor": "none",
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 5,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "xtick.color": RULE,
        "ytick.color": RULE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": INK,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.6,
        "patch.linewidth": 0,
    }


def style() -> Any:
    """The report's look as a context of matplotlib's settings."""
    import matplotlib as mpl

    return mpl.rc_context(_settings())


@drawn
def warning(figure: Figure) -> None:
    """Write the warnings into the drawing, so that a copied figure still has them."""
    words = " · ".join(figure.warnings)
    if words:
        figure.drawing.text(
            0.995, 0.004, words, ha="right", va="bottom", fontsize=6.5, color=BAD, weight="bold"
        )


def as_pdf(figure: Figure) -> bytes:
    """The PDF file, without a date, so that equal figures give equal files."""
    buffer = io.BytesIO()
    with style(), _letters_may_be_missing():
        figure.drawing.savefig(
            buffer, format="pdf", metadata={"CreationDate": None, "Title": figure.title}
        )
    return buffer.getvalue()


def inline(svg: str, figure: Figure) -> str:
    """The SVG for a page: in the page's colours and font, named for those who do not see it."""
    body = svg[svg.index("<svg") :]
    for colour, variable in (VARIABLES | SERIES_VARIABLES).items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r"<style.*?</style>", "", body.replace(_FILE_FONT, "inherit"), flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]+)"', lambda matched: matched[0] if matched[1] in used else "", body)
    view_box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)
    assert view_box is not None
    width, height = (float(value) for value in view_box.groups())
    opening = (
        f'<svg role="img" aria-label="{escape(figure.alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width * 4 / 3:.0f}px" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + body[body.index(">") + 1 :]


def despine(axes: Axes) -> None:
    """Leave the axes without a frame, for charts whose rows are named."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)


def as_svg(figure: Figure) -> str:
    """The SVG file: light, with text as text."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with style(), mpl.rc_context({"svg.hashsalt": figure.name}), _letters_may_be_missing():
        figure.drawing.savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": figure.title}
        )
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(_DRAWN_FONT, _FILE_FONT)
    return re.sub(
        r"<title>.*?</title>",
        f"<title>{escape(figure.title)}</title>",
        text,
        count=1,
        flags=re.DOTALL,
    )


@contextmanager
def _letters_may_be_missing() -> Iterator[None]:
    """Warn of letters that the font lacks: a PDF shows boxes, pages and SVG the reader's fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield
