"""The files of an image's archive, each read once: small JSON is kept, layers are inspected."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.challenges.byte_streams import Budget, DamagedStreamError, Stream, unpacked, window
from evaluator.challenges.layers import Layer, inspect_layer
from evaluator.challenges.tar_entries import is_outside, plain_name, tar_entries
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    import tarfile

#: a larger file is no JSON document of an image
JSON_BYTES = 4 * 2**20
#: JSON that is held in memory at one time
HELD_BYTES = 64 * 2**20
#: files, folders and links of an archive; an image has at most 127 layers
MOST_FILES = 4000


@dataclass(slots=True)
class ArchiveFiles:
    """What an archive holds."""

    #: names of JSON documents -> content
    documents: dict[str, bytes] = field(default_factory=dict)
    #: names of all other files -> what they hold as a layer
    layers: dict[str, Layer] = field(default_factory=dict)
    #: names of links -> the file that they lead to
    links: dict[str, str] = field(default_factory=dict)
    #: names of all files -> sha256 in hex
    hashes: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    #: a compressed archive, or bytes behind its end
    notes: list[str] = field(default_factory=list)
    held: int = 0

    def resolve(self, name: str) -> str:
        """The file that a name or a link stands for."""
        name = plain_name(name)
        return self.links.get(name, name)


def read_files(archive: Stream, budget: Budget, *, ratio: float) -> ArchiveFiles:
    """Read an archive to its end.

    Args:
        archive: its bytes; may be compressed.
        budget: what may still be taken.
        ratio: most that a layer may unpack to, as a multiple of its packed size.

    Raises:
        LimitReachedError: the budget is used up.
    """
    files = ArchiveFiles()
    try:
        content = unpacked(archive, budget)
        for number, entry in enumerate(tar_entries(content), 1):
            if number > MOST_FILES:
                raise DamagedStreamError(f"holds more than {MOST_FILES} files")
            _read_entry(entry, content, files, budget, ratio)
        if content.drain():
            files.notes.append("There are further bytes behind the end of the archive.")
    except DamagedStreamError as error:
        files.problems.append(f"The archive {error}.")
    archive.drain()
    return files


def _read_entry(
    entry: tarfile.TarInfo, content: Stream, files: ArchiveFiles, budget: Budget, ratio: float
) -> None:
    shown = repr(clean_text(entry.name, 100))
    if is_outside(entry.name) or entry.name.startswith("/"):
        files.problems.append(f"The archive has a path that leaves its folder: {shown}.")
        return
    name = plain_name(entry.name)
    if entry.isdir():
        return
    if name in files.hashes or name in files.links:
        files.problems.append(f"The archive has two files of the name {shown}.")
        return
    if entry.issym() or entry.islnk():
        _read_link(entry, name, files)
    elif entry.issparse() or not entry.isreg():
        files.problems.append(f"The archive has something that is no file: {shown}.")
    else:
        _read_file(name, window(content, entry.size), entry.size, files, budget, ratio)


def _read_link(entry: tarfile.TarInfo, name: str, files: ArchiveFiles) -> None:
    """Links between layers are usual: older versions of Docker write an equal layer once."""
    folder = posixpath.dirname(name) if entry.issym() else ""
    path = f"{folder}/{entry.linkname}" if folder else entry.linkname
    if entry.linkname.startswith("/") or is_outside(path):
        shown = repr(clean_text(f"{entry.name} -> {entry.linkname}", 200))
        files.problems.append(f"The archive has a link that leaves its folder: {shown}.")
        return
    files.links[name] = posixpath.normpath(path)


def _read_file(
    name: str, file: Stream, size: int, files: ArchiveFiles, budget: Budget, ratio: float
) -> None:
    begin = file.peek(64).lstrip()
    if begin[:1] in (b"{", b"[") and size <= JSON_BYTES and files.held + size <= HELD_BYTES:
        content = file.read(size)
        files.held += len(content)
        files.documents[name] = content
        file.drain()
        files.hashes[name] = file.sha256
        return
    layer = inspect_layer(file, budget, ratio=ratio)
    files.layers[name] = layer
    files.hashes[name] = layer.sha256
