"""Numba's ``njit`` with a cache that works in a read-only installation without a home folder.

Numba keeps compiled functions beside the source or in the user's cache folder, and refuses to
decorate a function where neither can be written. Then they are kept in a temporary folder of the
user, and where this fails, too, they are compiled again by each process.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core import config, event

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")
logger = logging.getLogger(__name__)

BLAS = "scipy.linalg.cython_blas"


def njit(*, cache: bool, **options: Any) -> Callable[[Function], Function]:
    """The decorator ``numba.njit``; functions are cached only where a folder can be written."""
    decorator: Callable[[Function], Function] = numba.njit(cache=cache and CACHED, **options)
    return decorator


class CompilationMessage(event.Listener):
    """Tells the user once in a process that functions are compiled, which takes a while."""

    def __init__(self) -> None:
        self.sent = False

    def on_start(self, event: event.Event) -> None:  # noqa: ARG002
        """Send the message at the first compilation."""
        if not self.sent:
            self.sent = True
            logger.info(_message())

    def on_end(self, event: event.Event) -> None:
        """Nothing: a process compiles many functions."""


def _message() -> str:
    start = "compiling functions for this processor, which takes up to half a minute"
    if not CACHED:
        return (
            f"{start} in every command, because no folder for them can be written; "
            "set NUMBA_CACHE_DIR to a folder of yours"
        )
    if TEMPORARY_FOLDER:
        return (
            f"{start}; they are kept in {TEMPORARY_FOLDER}, because neither the installation nor "
            "a home folder can be written; set NUMBA_CACHE_DIR to keep them in another folder"
        )
    return f"{start}; each is compiled once"


def _prepare_cache() -> tuple[bool, Path | None]:
    """Choose where compiled functions are kept.

    Returns:
        Whether they can be kept, and the temporary folder if it is used.
    """
    if getattr(config, "CACHE_DIR", "") or _is_writable(Path(__file__).parent / "__pycache__"):
        return True, None
    if (folder := _user_folder()) and _is_writable(folder):
        return True, None
    temporary = _temporary_folder()
    if temporary:
        config.CACHE_DIR = str(temporary)  # type: ignore[attr-defined]
    return temporary is not None, temporary


def _user_folder() -> Path | None:
    """Numba's folder in the user's cache; None for a user without a home folder."""
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "numba"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "numba" if home.is_dir() else None


def _temporary_folder() -> Path | None:
    """A folder that this user alone can write, since compiled functions are executed."""
    try:
        folder = Path(tempfile.gettempdir()) / f"umd-compiled-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return None
    is_private = state.st_uid == os.getuid() and not state.st_mode & 0o022
    if folder.is_symlink() or not is_private or not _is_writable(folder):
        return None
    return folder


def _is_writable(folder: Path) -> bool:
    """Whether a file can be created in the folder, which is made if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _load_arrays_without_blas() -> None:
    """Load Numba's array functions without scipy.linalg, which takes 0.2 s.

    Numba looks for a BLAS in scipy when it loads them. No function here multiplies matrices.
    """
    if BLAS in sys.modules:
        return
    sys.modules[BLAS] = None  # type: ignore[assignment]
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[BLAS]


CACHED, TEMPORARY_FOLDER = _prepare_cache()
event.register("numba:compile", CompilationMessage())
_load_arrays_without_blas()
