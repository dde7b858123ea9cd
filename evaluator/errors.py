"""What a user can do wrong, each with its exit code; the message says what happened and what to do next.

    UserError                   2
    ├── UnknownNameError             2   no such model, dataset, protocol, run; near misses are suggested
    ├── ManifestError             3   a manifest, card or lock that cannot be read
    ├── VolumeError               4   an image or mask that cannot be read, or whose geometry is wrong
    ├── DatasetError             5   a dataset that is missing or not what its manifest says
    ├── EngineUnavailableError       6   no container engine answers
    ├── BuildError             7   an image that does not build
    ├── HostError               8   the machine's fault: disk full, engine gone; nothing is lost, run again
    ├── RunConflictError             9   a run that is in use, or was made of other parts
    └── ModelPartsError           10   weights, packages or source of a model that are missing, refused, or not what was pinned

A model's failure is never one of these: it is data (``evaluator.types.Failure``).
"""

from __future__ import annotations

import errno
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class UserError(Exception):
    """Something the user can mend; ``str(error)`` is the whole message shown, without a traceback."""

    exit_code = 2


class UnknownNameError(UserError):
    """A name that stands for nothing: ``UnknownNameError("model", "sam", ["sam-med3d"])``."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name = kind, name
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
        )
        super().__init__(f"there is no {kind} named {name!r}; {hint}")


class ManifestError(UserError):
    """A manifest, card or lock file that cannot be read; the message names the file and the field."""

    exit_code = 3


class VolumeError(UserError):
    """An image or mask that cannot be read, or whose geometry is not what it must be."""

    exit_code = 4


class DatasetError(UserError):
    """A dataset that is missing, or not what its manifest says."""

    exit_code = 5


class EngineUnavailableError(UserError):
    """No container engine answers; the message says how to get one."""

    exit_code = 6


class BuildError(UserError):
    """An image that does not build; the message ends with the build's last lines."""

    exit_code = 7


class HostError(UserError):
    """The machine's fault (disk full, engine gone): it costs the model nothing, and the work is run again."""

    exit_code = 8


class ModelPartsError(UserError):
    """What a model's image is made of (weights, packages, source) is missing, not accepted, or not what was pinned."""

    exit_code = 10


class RunConflictError(UserError):
    """A run that another process is writing, or that was made of other parts than those asked for now."""

    exit_code = 9


def write_fault(path: Path, error: OSError) -> HostError:
    """What to raise where the system refused to write a file."""
    way_out = "make its folder one that can be written, or name another,"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        way_out = "free some space"
    return HostError(f"could not write {path}: {error.strerror}; {way_out} and run again")
