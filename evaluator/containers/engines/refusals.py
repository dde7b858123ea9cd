"""Whose fault it is that an engine refuses to create or start a container."""

from __future__ import annotations

import re

#: how the kernel names what a machine lacks; an engine's reason ends with its words. A read-only
#: file system is none of these: an image causes it by a volume below its read-only input
LACKS = (
    "no space left on device",
    "disk quota exceeded",
    "cannot allocate memory",
    "resource temporarily unavailable",
    "too many open files",
    "too many open files in system",
    "input/output error",
    "context deadline exceeded",
)
#: what an engine says of the image's program or stop signal, whose names an image chooses
_NAMED_BY_IMAGE = re.compile(r"(?<!fork/)\bexec\b|\binvalid signal\b")


def lacks_of_host(reason: str) -> str:
    """What this machine lacks by an engine's reason, in the engine's words; empty: nothing.

    A full disk of the engine, a limit of its processes or a kernel without memory for another
    group of processes says nothing about the model. Only the end of the reason counts, and no
    reason about a program or a signal does: an image chooses their names.
    """
    text = re.sub(r"(: unknown)?[.\s]*$", "", reason.strip().lower())
    if _NAMED_BY_IMAGE.search(text):
        return ""
    return next((words for words in LACKS if text.endswith(words)), "")
