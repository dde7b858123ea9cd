"""What a file is that should be a checkpoint and cannot be read as one, by its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
#: bytes that are read
START = 64


def read_start(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(START)


def is_safetensors(start: bytes) -> bool:
    """Whether a file begins as safetensors does: a length of 8 bytes, then an object of JSON.

    The length may begin as a pickle does: that of one header in 32 has 128 as its lowest byte.

    Args:
        start: the first bytes.
    """
    return start[8:9] == b"{"


def not_the_file(start: bytes) -> str:
    """What stands in the place of a file, and what to do; empty if the file may be a checkpoint.

    Args:
        start: the first bytes.
    """
    if not start:
        return "an empty file: the download did not begin; fetch again"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, perhaps a login page, not a checkpoint; fetch again"
    if start.startswith(b"version https://git"):
        return "a pointer of Git LFS, not the file itself; fetch it with git lfs pull"
    return ""


def other_format(path: Path) -> str:
    """The format of a file that is no checkpoint under its name; it is not opened.

    Args:
        path: the file.
    """
    start = read_start(path)
    if is_safetensors(start):
        return "a file of safetensors under the name of another format"
    if start.startswith(ZIP):
        return "an archive, such as torch writes, and not of safetensors"
    if start.startswith(PICKLE):
        return (
            "a bare pickle, as torch wrote before version 1.6 and as any program can write. It can "
            "hold code, so it was not opened"
        )
    return "no checkpoint of torch or safetensors"
