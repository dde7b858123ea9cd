"""User errors, each with an exit code; the message says what happened and what to do next.

    UserError                        2
    ├── DamagedFileError             2   a file of a run folder that cannot be read
    ├── UnknownNameError             2   no such model, dataset, protocol or run; lists near misses
    ├── ManifestError                3   a manifest, card or lock file that cannot be read
    ├── VolumeError                  4   an unreadable image or mask, or wrong geometry
    ├── DatasetError                 5   a dataset is missing or does not match its manifest
    ├── EngineUnavailableError       6   no container engine answers
    ├── BuildError                   7   an image does not build
    ├── HostError                    8   this machine's fault (disk full, engine gone); run again
    │   └── StoppedError           130   umd stop ended the run; finished scans are kept
    ├── RunConflictError             9   a run is in use or has different settings
    └── ModelFilesError             10   weights, packages or source are missing or not as pinned

``umd run`` ends with 11 if a run has no mask at all, ``umd`` with 70 if it has a bug and with 130
if it was interrupted.

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
    """An error that the user can fix.

    ``str(error)`` is the complete message; the command line shows it without a traceback.
    """

    exit_code = 2


class DamagedFileError(UserError):
    """A file of a run folder that is cut short, or is not what its place says."""


class UnknownNameError(UserError):
    """A name that does not exist: ``UnknownNameError("model", "sam", ["sam-med3d"])``."""

    def __init__(self, kind: str, name: str, valid: Iterable[str], *, listed_by: str = "") -> None:
        """Compose the message.

        Args:
            kind: what the name should denote, for example "model".
            name: the unknown name.
            valid: the names that exist; the message suggests up to three similar ones.
            listed_by: a command that lists all names, for names of which there may be many.
        """
        self.kind, self.name = kind, name
        names = sorted(valid)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif listed_by and names:
            hint = f"{listed_by} lists the {len(names)} that exist"
        else:
            hint = f"known: {', '.join(names) or 'none'}"
        super().__init__(f"there is no {kind} named {name!r}; {hint}")


class ManifestError(UserError):
    """A manifest, card or lock file that cannot be read; the message names file and field."""

    exit_code = 3


class VolumeError(UserError):
    """An image or mask that cannot be read, or whose geometry is wrong."""

    exit_code = 4


class DatasetError(UserError):
    """A dataset that is missing or does not match its manifest."""

    exit_code = 5


class EngineUnavailableError(UserError):
    """No container engine answers; the message says how to get one."""

    exit_code = 6


class BuildError(UserError):
    """An image that does not build; the message ends with the last lines of the build."""

    exit_code = 7


class HostError(UserError):
    """A fault of this machine (disk full, engine gone).

    It does not count against the model; the affected work is repeated by the next run.
    """

    exit_code = 8


class StoppedError(HostError):
    """A run that ``umd stop`` ended after the scans that were under way."""

    exit_code = 130


class ModelFilesError(UserError):
    """A model's weights, packages or source are missing, not accepted, or not the pinned ones."""

    exit_code = 10


class RunConflictError(UserError):
    """A run that another process is writing, or that was made with different settings."""

    exit_code = 9


def write_fault(path: Path, error: OSError) -> HostError:
    """The error to raise when the system refused to write the file ``path``."""
    remedy = "make its folder writable, or choose another,"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "free some space"
    return HostError(f"could not write {path}: {error.strerror}; {remedy} and run again")
