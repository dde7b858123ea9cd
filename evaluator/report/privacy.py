"""Removes ids and paths from reports: numbers instead of ids, and no paths or ids in text.

Subjects are numbered in an order derived from the secret salts of the runs: the same runs give the
same numbers, and without the runs a number does not identify a subject.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.export.pseudonyms import number_subjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: two or more path parts from a root, a drive or a home; "1/2" and "and/or" are none
_PATH = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:'\"<>|,;()\[\]]+){2,}[/\\]?")
_VOLUME = re.compile(r"\.(?:nii|nii\.gz|mha|mhd|nrrd|nhdr|dcm|ima)(?![A-Za-z0-9])", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+")
#: folders inside containers; their paths identify no file of this machine and no subject
_INSIDE = ("/opt/", "/input/", "/output/", "/tmp/", "/usr/", "/app/", "/workspace/")  # noqa: S108
WITHHELD = "(left out: the message names a file)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
#: options of ``umd run`` whose values tell nothing of a subject or a machine
_TOLD = (
    "-m", "--model", "-d", "--data", "-p", "--protocol", "--engine", "--gpus", "--per-gpu",
    "--timeout",
    "--threads", "--recheck", "--shard", "--shuffle", "--limit", "--contract",
    "--runtime", "--weights", "--option", "--accept-licence",
)  # fmt: skip
_FLAGS = (
    "--batch", "--debug", "--dry-run", "--force", "--rehash", "--unregistered",
    "-v", "--verbose", "-q", "--quiet",
)  # fmt: skip
_REPEATED_FLAG = re.compile(r"-[vq]+")
_WITHHELD = {
    "--case": "CASES",
    "--data-root": "FOLDER",
    "--card": "FILE",
    "--image": "IMAGE",
    "--prompts": "RUN",
    "--name": "NAME",
    "--log-file": "FILE",
    "--sockets": "FILE",
}
#: a value that is a name, a few of them, an option of a card, or weights that are no folder
_VALUE = re.compile(
    rf"(?:{_NAME.pattern})(?:,(?:{_NAME.pattern}))*|(?:{_NAME.pattern})=(?:{_NAME.pattern})"
    r"|random:full|random:small|[0-9]+/[0-9]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Replaces text that identifies a subject or a machine; with ``keep_ids`` ids are kept."""

    keep_ids: bool
    #: subject of a dataset -> what stands for it
    subjects: Mapping[tuple[str, str], str]
    #: finds what must not stand in any free text
    hidden: re.Pattern[str] | None

    def subject(self, dataset: str, subject: str) -> str:
        """What stands for a subject."""
        return self.subjects[dataset, subject]

    def text(self, text: str) -> str:
        """Remove ids from free text; withhold all of it if it names a file of this machine."""
        bare = _URL.sub("", text)
        paths = [matched[0] for matched in _PATH.finditer(bare)]
        if any(not path.startswith(_INSIDE) for path in paths) or _VOLUME.search(
            _PATH.sub("", bare)
        ):
            return WITHHELD
        return self.hidden.sub("(subject)", text) if self.hidden else text


def make_privacy(
    names: Iterable[tuple[str, str, str]], salts: Iterable[str], *, keep_ids: bool
) -> Privacy:
    """``names``: dataset, subject and case of every scan; ``salts``: those of the runs."""
    every = sorted(set(names))
    subjects = sorted({(dataset, subject) for dataset, subject, _ in every})
    if keep_ids:
        return Privacy(keep_ids=True, subjects={key: key[1] for key in subjects}, hidden=None)
    numbers = number_subjects(map("\0".join, subjects), "\n".join(sorted(salts)))
    numbered = {key: numbers["\0".join(key)] for key in subjects}
    return Privacy(
        keep_ids=False, subjects=numbered, hidden=_any_of({n for _, *names in every for n in names})
    )


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    """Any of the names as a word of its own; a longer one goes before one that it begins with."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    any_name = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{any_name})(?![A-Za-z0-9])") if any_name else None


def plain_command(command: str) -> str:
    """Replace values in a recorded command that may identify a subject or a machine."""
    try:
        words = shlex.split(command)
    except ValueError:
        return "umd run"
    parts, rest = ["umd"], iter(words[1:])
    for word in rest:
        option, equals, value = word.partition("=")
        if _REPEATED_FLAG.fullmatch(word):
            continue
        if option in _FLAGS or (not word.startswith("-") and _NAME.fullmatch(word)):
            parts.append(word)
            continue
        value = value if equals else next(rest, "")
        if option == "--weights" and value.partition(":")[0] not in ("published", "random"):
            value = "WEIGHTS"  # a folder, whatever it is called
        if option in _TOLD or option in _WITHHELD:
            parts += [
                option,
                _WITHHELD.get(option) or (value if _VALUE.fullmatch(value) else "FILE"),
            ]
    return shlex.join(parts)
