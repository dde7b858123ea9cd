"""Entries of a stranger's tar file, read in constant memory and without writing anything."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, cast

from evaluator.challenges.byte_streams import DamagedStreamError, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

#: bytes of the headers of one entry, with its long names and attributes
HEADER_BYTES = 2**20
END = bytes(tarfile.BLOCKSIZE)


def tar_entries(stream: Stream) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar file; the caller may read the content of one before the next.

    The stream is left behind the end mark.

    Raises:
        DamagedStreamError: it is no tar file, is cut short, or has a header that cannot be read.
    """
    try:
        yield from _entries(stream)
    except (tarfile.TarError, ValueError, OverflowError, IndexError, LookupError) as error:
        raise DamagedStreamError(f"is no readable tar file: {error}") from None
    except RecursionError:
        raise DamagedStreamError("has an entry with hundreds of headers") from None


def _entries(stream: Stream) -> Iterator[tarfile.TarInfo]:
    stream.header_budget = HEADER_BYTES
    archive = tarfile.TarFile(fileobj=cast("IO[bytes]", stream), mode="r")
    while True:
        stream.header_budget = HEADER_BYTES
        # what is in the headers for all later entries does not apply, as in Docker
        archive.pax_headers = {}
        entry = archive.next()
        archive.members = []  # type: ignore[attr-defined]
        stream.header_budget = None
        if entry is None:
            break
        yield entry
    if stream.last != END:
        raise DamagedStreamError(
            "has a header that cannot be read" if stream.last else "is cut short: it has no end"
        )


def is_outside(name: str) -> bool:
    """Whether a path leaves its folder through ``..``, counted without following links."""
    depth = 0
    for part in name.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False


def plain_name(name: str) -> str:
    """A path without its leading ``/`` and ``./`` and without empty parts."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))
