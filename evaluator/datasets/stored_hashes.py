"""Hashes of a dataset's files, kept in the cache from one command to the next.

A whole-body image takes a tenth of a second to hash, and a resumed run of thousands of scans needs
no more than to know that its files are the same. A stored hash is used while the file has the
inode, the size, and the times of the last change of content and of attributes that it had when it
was hashed. ``umd run --rehash`` does not use them.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import HostError, UserError
from evaluator.files import (
    current_sha256,
    file_state,
    fingerprint,
    read_json,
    trust_sha256,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.files import FileState, Json

    Stored = dict[str, tuple[FileState, str]]

#: a file may change without a change of its times for so long: clocks of file systems are coarse
SETTLED_SECONDS = 2.0


@contextmanager
def stored_hashes(files: Sequence[Path], *, rehash: bool = False) -> Iterator[None]:
    """Use the stored hashes of these files; at the end, store those that are new.

    Args:
        files: of one dataset.
        rehash: do not use stored hashes; they are replaced at the end.
    """
    if not files:
        yield
        return
    folder = os.path.commonpath([file.parent.absolute() for file in files])
    store = paths.cache() / "hashes" / f"{fingerprint(folder)[:16]}.json"
    stored = _read(store)
    if not rehash:
        for path, (state, sha256) in stored.items():
            trust_sha256(path, state, sha256)
    yield
    present = stored | _present(files)
    if present != stored:
        body = {path: [*state, sha256] for path, (state, sha256) in present.items()}
        with suppress(HostError):  # a cache that cannot be written costs time only
            write_json(store, {"files": body})


def _read(store: Path) -> Stored:
    """Path -> the state of a file and its hash."""
    if not store.is_file():
        return {}
    stored: Stored = {}
    try:
        files: Json = read_json(store)["files"]
        for path, (inode, size, changed, attributes, sha256) in files.items():
            state = (int(inode), int(size), int(changed), int(attributes))
            stored[path] = (state, str(sha256))
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return {}
    return stored


def _present(files: Sequence[Path]) -> Stored:
    """As ``_read``, of the files as they are; without files that have just been changed."""
    settled = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    present: Stored = {}
    for file in files:
        with suppress(OSError):  # the checks tell of a file that is missing
            state = file_state(file)
            if max(state[2:]) < settled:
                present[str(file)] = (state, current_sha256(file))
                trust_sha256(str(file), *present[str(file)])
    return present
