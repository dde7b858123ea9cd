"""The index of a study tree: headers only, in parallel, and resumable.

Each batch of headers is added to a file of lines. An interrupted index goes on where it stopped,
and a later one reads only files that are new or have changed.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from typing import TYPE_CHECKING

from evaluator.datasets.dicom.headers import Header, header_from_json, read_header
from evaluator.datasets.dicom.store import append_lines, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.store import Store

#: files whose headers are read by one task, and written together
BATCH = 128
#: fewer files are read by this process alone, as others take a second to start
FEW_FILES = 1000
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
    count = workers or os.cpu_count() or 1
    serial = len(missing) < FEW_FILES or count == 1
    pool = None if serial else ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    with pool or nullcontext():
        tasks = [(str(root), batch, key) for batch in batches]
        results = map(_read_batch, tasks) if pool is None else pool.map(_read_batch, tasks)
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
    """Path, size and time of each file; hidden files and links are passed over."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError:
            continue
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(relative)
            elif entry.is_file():
                status = entry.stat()
                yield relative, (status.st_size, status.st_mtime_ns)


def _read_batch(task: tuple[str, Sequence[str], bytes]) -> list[Header]:
    from pathlib import Path

    root, relatives, key = task
    return [read_header(Path(root), relative, key) for relative in relatives]
