"""One process builds an image or base image; others that need the same one wait for it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from evaluator.locks import file_lock, is_unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def build_lock(path: Path, say: Callable[[str], None], action: str) -> Iterator[None]:
    """Hold ``path`` while building; the lock ends with the process.

    Where the file system has no locks nobody waits: an image that is built twice is the same.

    Args:
        path: the lock file.
        say: receives one message if another process holds the lock.
        action: what the holder does, for that message ("builds an image").
    """

    def tell(_: str) -> None:
        say(f"waiting for another umd, which {action}")

    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path, action, on_wait=tell))
        except OSError as error:
            if not is_unsupported(error):
                raise
        yield
