"""Paths with named parts: ``{subject}/{session}/{modality}_image.nii.gz``."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

PARTS = ("subject", "session", "modality", "target")


@dataclass(frozen=True, slots=True)
class Match:
    """A file that fits a pattern, and the named parts of its path."""

    path: Path
    parts: Mapping[str, str]


def match_files(
    root: Path, files: Iterable[Path], pattern: str, words: Iterable[str] = ()
) -> Iterator[Match]:
    """The files whose path inside ``root`` fits the pattern.

    A named part matches any characters but ``/``, as few as possible. ``*`` does too.
    ``**/`` stands for any folders, or none.

    ``{subject}_{modality}`` fits ``STS_001_CT`` in two ways. The one whose modality begins with a
    word for modalities counts: a subject ``STS`` would join the images of all patients.

    Letters with accents are compared in their composed form, since macOS decomposes them.

    Raises:
        UserError: the pattern has an unknown name, or none for the subject.
    """
    pattern = unicodedata.normalize("NFC", pattern)
    expressions = [compile_pattern(pattern, words), compile_pattern(pattern)]
    for path in files:
        name = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
        match = expressions[0].fullmatch(name) or expressions[1].fullmatch(name)
        if match:
            yield Match(path, match.groupdict())


def compile_pattern(pattern: str, words: Iterable[str] = ()) -> re.Pattern[str]:
    """The regular expression of a pattern; with words, the modality begins with one of them.

    See ``match_files``.
    """
    try:
        pieces = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise UserError(f"pattern {pattern!r}: {error}") from None
    names = [name for _, name, _, _ in pieces if name is not None]
    if unknown := sorted(set(names) - set(PARTS)):
        known = ", ".join("{" + name + "}" for name in PARTS)
        raise UserError(
            f"pattern {pattern!r}: {', '.join(unknown)} is not known; known are {known}"
        )
    if "subject" not in names:
        raise UserError(f"pattern {pattern!r} has no {{subject}}")
    alternatives = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    any_of_words = rf"(?i:{alternatives})(?:[^A-Za-z0-9/][^/]*?)?" if alternatives else ""
    expression = ""
    seen: set[str] = set()
    for text, name, _, _ in pieces:
        escaped = re.escape(text).replace(r"\*\*/", "(?:.*/)?")
        expression += escaped.replace(r"\*", "[^/]*")
        if name is None:
            continue
        part = any_of_words if name == "modality" and any_of_words else "[^/]+?"
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>{part})"
        seen.add(name)
    return re.compile(expression)
