"""One process builds an image or base image; others that need the same one wait for it."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from evaluator.locks import file_lock, is_unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def build_lock(path: Path, action: str) -> Iterator[None]:
    """Hold ``path`` while building; the lock ends with the process.

    Where the file system has no locks nobody waits: an image that is built twice is the same.

    Args:
        path: the lock file.
        action: what the holder does ("builds an image"), for the message to those who wait.
    """

    def report_wait(_: str) -> None:
        logger.info("waiting for another umd, which %s", action)

    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path, action, on_wait=report_wait))
        except OSError as error:
            if not is_unsupported(error):
                raise
        yield
