"""The files of a folder by their kind: volumes, archives, and what is left out at once."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from evaluator.datasets.importing.archives import ARCHIVE_REASON, is_archive
from evaluator.datasets.importing.found import LeftOut
from evaluator.datasets.importing.tree import FOLDER, HIDDEN_FILE, walk_tree
from evaluator.volumes import SUFFIXES
from evaluator.volumes.volume_file import DICOM_HINT

if TYPE_CHECKING:
    from pathlib import Path

#: Unicode's classes of controls and of separators of lines and paragraphs
CONTROLS = ("Cc", "Zl", "Zp")
#: how the text of a path holds bytes that are no UTF-8
LONE_SURROGATE = "Cs"
#: why a folder is left out that has the name of a volume
NO_VOLUME = f"a folder without a volume, where one file is expected{DICOM_HINT}"

#: how the file begins that Git LFS leaves in the place of content, and its greatest size
POINTER, POINTER_BYTES = b"version https://git-lfs", 1024
LFS_POINTER = "its content was not fetched; run git lfs pull"


@dataclass(slots=True)
class TreeFiles:
    """What a folder holds."""

    #: files with the suffix of a volume whose path a case list can hold
    volumes: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    #: suffix -> number of all other files
    others: Counter[str] = field(default_factory=Counter)


def read_tree(root: Path) -> TreeFiles:
    """Find the files of a folder; links to folders are followed once."""
    files = TreeFiles()
    named_as_volumes: list[Path] = []
    for entry in walk_tree(root, with_folders=True):
        path = root / entry.path
        is_volume = path.name.lower().endswith(SUFFIXES)
        if entry.problem == FOLDER:
            if is_volume:
                named_as_volumes.append(path)
        elif entry.problem:
            if is_volume or entry.problem != HIDDEN_FILE:
                files.left_out.append(LeftOut(path=path, reason=entry.problem))
        elif is_volume and (character := unwritable(entry.path)):
            reason = f"a case list cannot hold {character} in its path; rename it"
            files.left_out.append(LeftOut(path=path, reason=reason))
        elif is_volume and 0 < entry.size < POINTER_BYTES and _is_pointer(path):
            files.left_out.append(LeftOut(path=path, reason=LFS_POINTER))
        elif is_volume:
            files.volumes.append(path)
        elif is_archive(path):
            files.archives.append(path)
            files.left_out.append(LeftOut(path=path, reason=ARCHIVE_REASON))
        else:
            files.others[_suffix(path)] += 1
    files.volumes.sort()
    # programs that unpack archives put a file into a folder of its name
    full = set(chain.from_iterable(path.parents for path in files.volumes))
    reported = {entry.path for entry in files.left_out}
    empty = [folder for folder in named_as_volumes if folder not in full | reported]
    files.left_out += [LeftOut(path=folder, reason=NO_VOLUME) for folder in empty]
    return files


def _is_pointer(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(POINTER)
    except OSError:  # told when its header is read
        return False


def _suffix(path: Path) -> str:
    """The suffix of a file, both if the last one is that of a compressed file; else its name."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = "".join(path.suffixes[-2:]).lower()
    return suffix or path.name


def unwritable(path: str) -> str:
    """What a line of a case list cannot hold of a path, in words; empty if it holds all of it."""
    classes = {unicodedata.category(character) for character in path}
    if LONE_SURROGATE in classes:
        return "bytes that are no UTF-8"
    if classes & set(CONTROLS):
        return "a tab, a line break or another control character"
    if "\\" in path:
        return "a backslash"
    return "a space at the beginning" if path != path.strip() else ""
