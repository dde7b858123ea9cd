"""The index of a study tree: headers only, in parallel, and resumable.

Each batch of headers is added to a file of lines. An interrupted index goes on where it stopped,
and a later one reads only files that are new or have changed.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from evaluator.datasets.dicom.headers import Header, header_from_json, read_header
from evaluator.datasets.dicom.store import append_lines, read_lines
from evaluator.datasets.dicom.workers import map_tasks
from evaluator.datasets.importing.tree import walk_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.store import Store
    from evaluator.datasets.importing.tree import TreeEntry

#: files whose headers are read by one task, and written together
BATCH = 128
#: fewer files are read by this process alone, as others take a second to start
FEW_FILES = 1000
#: form of the index; another one is read anew
FORMAT = 2


def index_tree(
    root: Path,
    store: Store,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda _read, _all: None,
) -> list[Header]:
    """The headers of all files under ``root``.

    Args:
        root: the study tree; nothing is written there.
        store: its private folder holds the index.
        workers: processes; None for one on each core.
        progress: is told the number of files that are done, and of all.

    Returns:
        One header for each file, sorted by path. What cannot be read has a ``problem``, such as a
        folder without permission.

    Raises:
        HostError: the index cannot be written.
    """
    key = store.key()
    indexed = _known(store)
    entries = {entry.path: entry for entry in walk_tree(root)}
    headers = {
        path: Header(path=path, size=-1, changed=0, problem=entry.problem)
        for path, entry in entries.items()
        if entry.problem
    }
    headers |= {
        path: header
        for path, header in indexed.items()
        if path in entries and _is_current(header, entries[path])
    }
    missing = sorted(entries.keys() - headers.keys())
    progress(len(headers), len(entries))
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    processes = 1 if len(missing) < FEW_FILES else workers or os.cpu_count() or 1
    tasks = [(root, batch, key) for batch in batches]
    with closing(map_tasks(_read_batch, tasks, processes)) as results:
        for batch_headers in results:
            bodies = [{**header.to_json(), "format": FORMAT} for header in batch_headers]
            append_lines(store.index, bodies)
            headers |= {header.path: header for header in batch_headers}
            progress(len(headers), len(entries))
    return [headers[path] for path in sorted(headers)]


def _is_current(header: Header, entry: TreeEntry) -> bool:
    """Whether a file has not changed since its header was read."""
    return not entry.problem and (header.size, header.changed) == (entry.size, entry.changed)


def _known(store: Store) -> dict[str, Header]:
    headers = {}
    for body in read_lines(store.index):
        if body.pop("format", None) != FORMAT:
            continue
        try:
            header = header_from_json(body)
        except TypeError:
            continue
        headers[header.path] = header
    return headers


def _read_batch(task: tuple[Path, Sequence[str], bytes]) -> list[Header]:
    root, relatives, key = task
    return [read_header(root, relative, key) for relative in relatives]
