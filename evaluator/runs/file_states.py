"""Names, sizes and times of the files of a run folder, read without opening any."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from evaluator.runs.read_once import once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    #: name within the run folder, bytes, time of the last change in nanoseconds
    State = tuple[str, int, int]


def file_states(folder: Path, names: Iterable[str], suffix: str = "") -> Iterator[State]:
    """The files in these folders of a run folder, folder after folder, each in the order of names.

    Args:
        folder: the run folder.
        names: of folders inside it.
        suffix: only files whose names end so; empty: those whose names have a dot.
    """
    for name in names:
        for state in once(("states", folder, name), partial(_ordered, str(folder), name)):
            last = state[0].rpartition("/")[2]
            if last.endswith(suffix) if suffix else "." in last:
                yield state


def _ordered(folder: str, name: str) -> list[State]:
    return sorted(_files_in(folder, name), key=lambda state: state[0].split("/"))


def _files_in(folder: str, name: str) -> Iterator[State]:
    """The files below ``folder/name``, in any order; links are not followed."""
    inside: list[str] = []
    with suppress(FileNotFoundError), os.scandir(f"{folder}/{name}") as entries:
        for entry in entries:
            path = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                inside.append(path)
                continue
            with suppress(FileNotFoundError):  # another process writes the run
                status = entry.stat(follow_symlinks=False)
                yield path, status.st_size, status.st_mtime_ns
    for path in inside:
        yield from _files_in(folder, path)
