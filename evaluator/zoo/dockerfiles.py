"""What a Dockerfile says of itself: its text, the images that it builds on, the files it copies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

#: larger files are not Dockerfiles
MOST_BYTES = 2**20


def read_dockerfile(path: Path) -> str:
    """The text of a Dockerfile.

    Raises:
        ManifestError: it cannot be read, is not UTF-8 or is larger than 1 MiB.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ManifestError(f"{path} is larger than 1 MiB; a Dockerfile is not")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(
            f"{path}: line {line}, byte {error.start} is 0x{content[error.start]:02x}, which is "
            "not UTF-8; save the file as UTF-8"
        ) from None


def from_images(text: str) -> set[str]:
    """The images that a Dockerfile builds on, without their tags."""
    names = re.findall(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", text, flags=re.MULTILINE | re.IGNORECASE)
    return {name.split("@")[0].removesuffix(":latest") for name in names}


def foreign_images(text: str) -> list[str]:
    """Images of others that a Dockerfile builds on or copies from, with their tags, sorted.

    The project's base images, stages of the Dockerfile and ``scratch`` are left out. Variables have
    the defaults of their ARG lines.
    """
    flags = re.MULTILINE | re.IGNORECASE
    defaults = dict(re.findall(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", text, flags=flags))
    stages = {name.lower() for name in re.findall(r"^\s*FROM\s+.*\sAS\s+(\S+)", text, flags=flags)}
    names = re.findall(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", text, flags=flags)
    names += re.findall(r"^\s*COPY\s+(?:--\S+\s+)*--from=(\S+)", text, flags=flags)
    foreign = set()
    for name in names:
        resolved = re.sub(r"\$\{?(\w+)\}?", lambda match: defaults.get(match[1], match[0]), name)
        own = resolved.split("@")[0].removesuffix(":latest") in ("umd/base", "umd/torch", "scratch")
        if not own and not resolved.isdigit() and resolved.lower() not in stages:
            foreign.add(resolved)
    return sorted(foreign)


def copied_paths(text: str) -> list[str]:
    """The paths in the build context that a Dockerfile copies.

    Raises:
        ManifestError: a path lies outside the build context.
    """
    joined = re.sub(r"\\[ \t]*\n", " ", text)
    lines = re.findall(r"^\s*(?:COPY|ADD)\s+(.+)$", joined, flags=re.MULTILINE | re.IGNORECASE)
    copied: list[str] = []
    for line in lines:
        parts = [part.strip('[],"') for part in line.split()]
        if any(part.startswith("--from") for part in parts):
            continue
        copied += [part for part in parts if not part.startswith("--")][:-1]
    for path in copied:
        if ".." in path.split("/"):
            raise ManifestError(
                f"the Dockerfile copies {path[:200]}, which lies outside the checkout; "
                "copy files of models/ only"
            )
    return copied


def module_folders(text: str) -> list[str]:
    """Folders under models/ whose modules a Dockerfile copies beside its adapter, in its order.

    Args:
        text: of the Dockerfile.

    Returns:
        names of folders; the SDK is not one of them.
    """
    folders = re.findall(r"(?<![\w/])models/([\w.-]+)/[\w*]+\.py", "\n".join(copied_paths(text)))
    return [name for name in dict.fromkeys(folders) if name != "sdk"]
