"""A small font for figures, made of the letters that they need.

matplotlib puts a part of its font into each PDF, and picking that part out of all of DejaVu Sans
takes longer than drawing the figure; so it is picked once, and kept.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.files import write_bytes

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

#: the name that the small font goes by: what is changed may not be called DejaVu
NAME = "Figure Sans"
#: what has the letters that the small font lacks
WHOLE = "DejaVu Sans"
#: Latin with accents, dashes, quotes, ellipsis, arrows, minus
_LETTERS = (
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),
    0x2013,
    0x2018,
    0x2019,
    0x2026,
    0x2190,
    0x2192,
    0x2212,
)
#: records of a font's table of names: family, full name, PostScript name, typographic family
_FAMILY, _FULL, _POSTSCRIPT, _TYPOGRAPHIC = 1, 4, 6, 16


@cache
def font_families() -> list[str]:
    """Families for matplotlib's ``font.family``, the small one first; written at the first call."""
    from matplotlib import font_manager

    folder = Path(font_manager.findfont(WHOLE)).parent
    for source, bold in (("DejaVuSans.ttf", False), ("DejaVuSans-Bold.ttf", True)):
        small = paths.cache() / "fonts" / f"figure-{version('matplotlib')}-{source}"
        if not small.is_file():
            write_bytes(small, _small(folder / source, bold=bold))
        font_manager.fontManager.addfont(small)
    return [NAME, WHOLE]


def _small(source: Path, *, bold: bool) -> bytes:
    import io

    from fontTools import subset

    options = subset.Options(
        layout_features=[], hinting=False, glyph_names=False, notdef_outline=True, name_IDs=["*"]
    )
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "FFTM"]
    picked = subset.Subsetter(options)
    picked.populate(unicodes=_LETTERS)
    names = {
        _FAMILY: NAME,
        _TYPOGRAPHIC: NAME,
        _FULL: f"{NAME} Bold" if bold else NAME,
        _POSTSCRIPT: NAME.replace(" ", "") + ("-Bold" if bold else ""),
    }
    buffer = io.BytesIO()
    font: TTFont
    with subset.load_font(source, options) as font:
        picked.subset(font)
        for record in font["name"].names:
            record.string = names.get(record.nameID, record.string)
        font.save(buffer)
    return buffer.getvalue()
