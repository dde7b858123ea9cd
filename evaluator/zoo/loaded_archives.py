"""Load an image file once on each node, however many tasks begin there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.containers.engines.programs import make_private_folder
from evaluator.files import fingerprint, write_bytes
from evaluator.locks import file_lock

if TYPE_CHECKING:
    from evaluator.zoo.image_store import ImageStore


def load_once(store: ImageStore, engine: str, archive: Path) -> tuple[str, ...]:
    """Load an image file unless this node has its images already.

    The node is that of the temporary folder, which is not shared between nodes.

    Args:
        store: images of the engine.
        engine: the engine's name.
        archive: a file that ``docker save`` wrote.

    Returns:
        the digests of the images that were loaded now.

    Raises:
        HostError: the node's folder for marks belongs to another user.
        UserError: the file is not one.
    """
    status = archive.stat()
    state = [engine, str(archive.resolve()), status.st_size, status.st_mtime_ns]
    folder = Path(tempfile.gettempdir()) / f"umd-images-{os.getuid()}"
    # in another user's folder the lock file may be a link to a file of this user
    make_private_folder(folder, os.getuid(), variable="TMPDIR")
    marker = folder / fingerprint(state)[:16]
    # tasks that begin together on one node wait for the first
    with file_lock(marker.with_suffix(".lock"), "umd models load", optional=True):
        if marker.is_file():
            digests = marker.read_text().split()
            if digests and all(store.find(digest) for digest in digests):
                return ()
        loaded = tuple(store.load(archive))
        write_bytes(marker, " ".join(loaded).encode())
        return loaded
