"""One process builds an image or base image; others that need the same one wait for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.locks import file_lock

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

logger = logging.getLogger(__name__)


def build_lock(path: Path, action: str) -> AbstractContextManager[None]:
    """Hold ``path`` while building; the lock ends with the process.

    If the file system has no locks, nobody waits: building an image twice gives the same image.

    Args:
        path: the lock file.
        action: what the holder does ("builds an image"), for the message to those who wait.
    """

    def report_wait(_: str) -> None:
        logger.info("waiting for another umd, which %s", action)

    return file_lock(path, action, optional=True, on_wait=report_wait)
