"""The index of a study tree: headers only, in parallel, and resumable.

Each batch of headers is added to a file of lines. An interrupted index goes on where it stopped,
and a later one reads only files that are new or have changed.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from evaluator.datasets.dicom.headers import Header, header_from_json, read_header
from evaluator.datasets.dicom.store import append_lines, read_lines
from evaluator.datasets.dicom.workers import map_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.store import Store

#: files whose headers are read by one task, and written together
BATCH = 128
#: fewer files are read by this process alone, as others take a second to start
FEW_FILES = 1000
#: size and time of a folder that cannot be listed, which stands in the index like a file
UNLISTED = (-1, 0)
#: form of the index; another one is read anew
FORMAT = 1


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
        One header for each file, sorted by path. A file that cannot be read has a ``problem``.

    Raises:
        HostError: the index cannot be written.
    """
    key = store.key()
    indexed = _known(store)
    files = dict(_files(root))
    headers = {
        path: header
        for path, header in indexed.items()
        if files.get(path) == (header.size, header.changed)
    }
    missing = sorted(files.keys() - headers.keys())
    progress(len(headers), len(files))
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    processes = 1 if len(missing) < FEW_FILES else workers or os.cpu_count() or 1
    tasks = [(root, batch, key) for batch in batches]
    with closing(map_tasks(_read_batch, tasks, processes)) as results:
        for batch_headers in results:
            bodies = [{**header.to_json(), "format": FORMAT} for header in batch_headers]
            append_lines(store.index, bodies)
            headers |= {header.path: header for header in batch_headers}
            progress(len(headers), len(files))
    return [headers[path] for path in sorted(headers)]


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


def _files(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Path, size and time of each file; hidden files and links to folders are passed over."""
    pending = [""]
    while pending:
        folder = pending.pop()
        # an error of the system would name a path, which may hold a patient's name
        try:
            entries = list(os.scandir(root / folder))
        except OSError:
            yield folder, UNLISTED
            continue
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(relative)
                elif entry.is_file():
                    status = entry.stat()
                    yield relative, (status.st_size, status.st_mtime_ns)


def _read_batch(task: tuple[Path, Sequence[str], bytes]) -> list[Header]:
    root, relatives, key = task
    return [read_header(root, relative, key) for relative in relatives]
