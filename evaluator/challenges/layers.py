"""Layers of an image, read without being unpacked: sizes, digests, and tricks with entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.challenges.byte_streams import (
    Budget,
    DamagedStreamError,
    Stream,
    compression_of,
    unpacked,
)
from evaluator.challenges.tar_entries import is_outside, plain_name, tar_entries
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    import tarfile

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
#: examples of one kind that a sentence names
EXAMPLES = 3
#: symbolic links of a layer that are remembered
MOST_LINKS = 500_000
#: a layer above this size is a bomb if it is packed to less than one part of ``ratio``, bytes
BOMB_BYTES = 2**28
#: devices that images of distributions bring: null, zero, full, random, urandom, tty, console
USUAL_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}


@dataclass(slots=True)
class Layer:
    """What a layer of an image holds."""

    #: sha256 of the layer as it is packed, in hex
    sha256: str = ""
    #: sha256 of the unpacked tar file, in hex
    diff_id: str = ""
    packed_bytes: int = 0
    unpacked_bytes: int = 0
    #: bytes that its files take once they are written, with the holes of sparse files
    file_bytes: int = 0
    entries: int = 0
    #: why the layer cannot be read; empty: it was read to its end
    fault: str = ""
    #: kind of trick -> up to EXAMPLES paths, and how many there are
    tricks: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str, path: str) -> None:
        """Count an entry of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.tricks.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(repr(clean_text(path, 100)))


#: kinds for which an image is refused
REFUSED = {
    "leaves": "entries whose path leaves the image's folder",
    "through-link": "entries whose path goes through a symbolic link of the same layer",
    "hard-link": "hard links to a place outside of the image",
    "device": "device files of a kind that no image needs",
    "whiteout": "deletions (whiteouts) of '.' or '..', or of a path that has none",
    "unknown": "entries of a kind that tar files of images do not have",
    "sparse": "sparse files, which unpack to more than they hold",
}
#: kinds that are told
TOLD = {
    "absolute": "entries with an absolute path, which are taken as relative to the image",
    "link-leaves": "symbolic links with more '..' than folders above them",
    "usual-device": "device files that most images have",
    "pipe": "named pipes",
    "setuid": "programs that run as their owner (setuid or setgid); without effect here",
    "deleted": "deletions (whiteouts) of files of lower layers",
}


def inspect_layer(stream: Stream, budget: Budget, *, ratio: float) -> Layer:
    """Read a layer to its end.

    Args:
        stream: the layer as it is packed.
        budget: what may still be taken.
        ratio: a layer that unpacks to more than this multiple of its packed size is refused.

    Returns:
        the layer; ``fault`` says why it is none.

    Raises:
        LimitReachedError: the budget is used up.
    """
    layer = Layer()
    try:
        content = unpacked(stream, budget)
        if compression_of(content):
            raise DamagedStreamError("is compressed twice")
        _read(content, layer, budget)
        if content.drain():
            layer.note("rest", "")
        layer.unpacked_bytes, layer.diff_id = content.tell(), content.sha256
    except DamagedStreamError as error:
        layer.fault = str(error)
    stream.drain()
    layer.sha256, layer.packed_bytes = stream.sha256, stream.tell()
    size = max(layer.unpacked_bytes, layer.file_bytes)
    if size > max(ratio * layer.packed_bytes, BOMB_BYTES):
        layer.fault = layer.fault or (
            f"unpacks from {layer.packed_bytes / 2**20:.1f} MiB to {size / 2**20:.0f} MiB, more "
            f"than {ratio:g} times as much"
        )
    return layer


def _read(content: Stream, layer: Layer, budget: Budget) -> None:
    links: set[str] = set()
    for entry in tar_entries(content):
        budget.take_entry()
        layer.entries += 1
        _check_path(entry, layer, links)
        _check_kind(entry, layer)
        if entry.issym():
            links.add(plain_name(entry.name))
            if len(links) > MOST_LINKS:
                raise DamagedStreamError(f"has more than {MOST_LINKS} symbolic links")
        if entry.isreg():
            layer.file_bytes += entry.size


def _check_path(entry: tarfile.TarInfo, layer: Layer, links: set[str]) -> None:
    name = entry.name
    if is_outside(name):
        layer.note("leaves", name)
    elif name.startswith("/"):
        layer.note("absolute", name)
    parts = plain_name(name).split("/")
    if links and any("/".join(parts[:end]) in links for end in range(1, min(len(parts), 64))):
        layer.note("through-link", name)
    base = parts[-1]
    if base.startswith(WHITEOUT):
        is_marker = base == OPAQUE or base.startswith((".wh..wh.plnk", ".wh..wh.aufs"))
        hidden = base.removeprefix(WHITEOUT)
        bad = hidden in ("", ".", "..") or ".." in parts
        layer.note("whiteout" if bad and not is_marker else "deleted", name)


def _check_kind(entry: tarfile.TarInfo, layer: Layer) -> None:
    name = entry.name
    if entry.islnk():
        if is_outside(entry.linkname):
            layer.note("hard-link", f"{name} -> {entry.linkname}")
    elif entry.issym():
        folder = "" if entry.linkname.startswith("/") else name.rpartition("/")[0]
        if is_outside(f"{folder}/{entry.linkname}"):
            layer.note("link-leaves", f"{name} -> {entry.linkname}")
    elif entry.ischr() or entry.isblk():
        usual = entry.ischr() and (entry.devmajor, entry.devminor) in USUAL_DEVICES
        layer.note("usual-device" if usual else "device", name)
    elif entry.isfifo():
        layer.note("pipe", name)
    elif entry.issparse():
        layer.note("sparse", name)
    elif not entry.isreg() and not entry.isdir():
        layer.note("unknown", name)
    if entry.isreg() and entry.mode & 0o6000:
        layer.note("setuid", name)
