"""What can be handed in: the file of an image, or its reference."""

from __future__ import annotations

import re
from pathlib import Path

from evaluator.errors import UserError

#: registry, repository, tag and digest of an image, as Docker writes them
REFERENCE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip")
#: name of a model of the zoo, which is no path
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def require_source(source: str, *, zoo: bool, is_reference: bool) -> None:
    """Refuse what is neither a file nor the reference of an image, before it counts.

    A mistyped path has the form of a reference, so an ending of archives decides.

    Args:
        source: what is handed in.
        zoo: models of the zoo are handed in by name, for a rehearsal.
        is_reference: it is no path, whatever files this machine has: a stranger wrote it.

    Raises:
        UserError: it is none.
    """
    if zoo:
        if is_reference and not MODEL.fullmatch(source):
            raise UserError(f"{source!r} is not the name of a model")
        return
    if not is_reference:
        path = Path(source).expanduser()
        if path.is_file():
            return
        if path.is_dir():
            raise UserError(f"{source} is a folder; hand in the file of docker save")
    if source.endswith(ARCHIVE_SUFFIXES):
        raise UserError(f"there is no file {source}")
    if not REFERENCE.fullmatch(source):
        raise UserError(f"{source!r} is neither a file nor the reference of an image")
