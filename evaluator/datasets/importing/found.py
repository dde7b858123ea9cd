"""What a layout found in a folder, and the words for modalities in file names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

    #: target -> label values
    Labels = Mapping[str, tuple[int, ...]]

#: words in file names, in lower case, that stand for a modality; the longest match counts
MODALITY_WORDS: dict[str, Modality] = {
    "ct": "CT",
    "ldct": "CT",
    "cect": "CT",
    "pet": "PT",
    "pt": "PT",
    "suv": "PT",
    "mr": "MR",
    "mri": "MR",
    "t1": "MR",
    "t1w": "MR",
    "t2": "MR",
    "t2w": "MR",
    "flair": "MR",
    "dixon": "MR",
    "vibe": "MR",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReference:
    """A reference file and its targets."""

    path: Path
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundScan:
    """An image with its references; all files are on one grid, unless references are shared."""

    subject: str
    session: str
    modality: Modality
    image: Path
    grid: Grid
    references: tuple[FoundReference, ...]
    #: the references are those of another image, and have another grid
    shared: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What is unique in a dataset."""
        return (self.subject, self.session, self.modality)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file that is not part of the dataset, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All that was found in a folder."""

    root: Path
    layout: str
    scans: tuple[FoundScan, ...]
    left_out: tuple[LeftOut, ...]
    #: subjects, sessions and targets as written in the files -> as written in the dataset
    renamed: Mapping[str, str] = field(default_factory=dict)
    #: suffix of files that are no volumes -> their number
    others: Counter[str] = field(default_factory=Counter)


def modality_of(word: str, words: Mapping[str, Modality]) -> Modality | None:
    """The modality that a part of a file's name stands for.

    Args:
        word: the part, such as ``MR_T1`` or ``pet``.
        words: word in lower case -> modality.

    Returns:
        None if no word of the part is known, or words of two modalities occur.
    """
    if word.lower() in words:
        return words[word.lower()]
    parts = re.split(r"[^a-z0-9]+", word.lower())
    found = {words[part] for part in parts if part in words}
    return found.pop() if len(found) == 1 else None


def dataset_name(text: str) -> str:
    """A subject, session or target as a name that case lists accept."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-_.")
    return name or "x"
