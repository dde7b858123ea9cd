"""Whose fault it is that an engine refuses to create or start a container."""

from __future__ import annotations

import re

#: how the kernel names what a machine lacks; an engine's reason ends with its words
LACKS = (
    "no space left on device",
    "disk quota exceeded",
    "cannot allocate memory",
    "resource temporarily unavailable",
    "too many open files",
    "too many open files in system",
    "input/output error",
    "read-only file system",
    "context deadline exceeded",
)
#: begins what an engine says of the image's program, whose name an image chooses
_PROGRAM = re.compile(r"(?<!fork/)\bexec\b")


def lacks_of_host(reason: str) -> str:
    """What this machine lacks by an engine's reason, in the engine's words; empty: nothing.

    A full disk of the engine, a limit of its processes or a kernel without memory for another
    group of processes says nothing about the model. Only the end of the reason counts, and no
    reason about a program does: an image chooses the names of its files.
    """
    text = re.sub(r"(: unknown)?[.\s]*$", "", reason.strip().lower())
    if _PROGRAM.search(text):
        return ""
    return next((words for words in LACKS if text.endswith(words)), "")
