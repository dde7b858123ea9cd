"""Text of strangers (models, images, Dockerfiles), made harmless before it is stored or shown.

Escape sequences change a terminal, bidirectional controls reorder what a reader sees, a lone
surrogate cannot be written as UTF-8, and a cell that begins with ``=`` is a formula in
spreadsheets.
"""

from __future__ import annotations

import re
from typing import Any

#: longest text of one field
MOST_CHARACTERS = 2000
#: levels and entries of nested values that are kept
MOST_LEVELS, MOST_ENTRIES = 32, 10_000
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: ECMA-48: control sequences, strings (such as titles and links) up to their end, single escapes
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
#: C0 but tab and newline, DEL, C1, bidirectional controls, line separators, byte order mark,
#: invisible tags and characters that Unicode does not assign
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_FORMULA = re.compile(r"^\s*(?:[=@|%]|[+-](?![\d.]))")


def clean_text(text: str, limit: int | None = MOST_CHARACTERS) -> str:
    """The text without escape sequences and control characters, at most ``limit`` characters.

    Tabs and newlines stay. A lone surrogate becomes the replacement character.
    """
    if not text.isascii() or not text.isprintable():
        text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
        text = _CONTROLS.sub("", text)
        text = _SURROGATES.sub(REPLACEMENT, text)
    if limit is not None and len(text) > limit:
        return text[: max(limit - 3, 0)] + "..."
    return text


def counted(count: int, singular: str, plural: str = "") -> str:
    """A number with its noun, and with a verb where there is one.

    Args:
        count: the number.
        singular: the words after 1, such as "slice is".
        plural: the words after other numbers; empty: ``singular`` with an s.
    """
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def readable_name(name: str) -> str:
    r"""The name of a file or folder as text that every file can hold.

    Python reads a byte that is no UTF-8 as a lone surrogate, which neither JSON nor UTF-8 has. It
    is written here as in ``b\xff``, so two names stay two names.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """The text in one line for a terminal: what cannot be printed is written as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def clean_json(value: Any) -> Any:
    """Plain JSON values with every text and key cleaned, without what is too deep or too long."""
    return _clean(value, MOST_LEVELS)


def _clean(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        return None
    if isinstance(value, list):
        return [_clean(entry, levels - 1) for entry in value[:MOST_ENTRIES]]
    entries = list(value.items())[:MOST_ENTRIES]
    return {clean_text(str(key), 200): _clean(entry, levels - 1) for key, entry in entries}


def without_formula(text: str) -> str:
    """The text for a cell of a spreadsheet: one that would be a formula begins with a quote."""
    return f"'{text}" if _FORMULA.match(text) else text
