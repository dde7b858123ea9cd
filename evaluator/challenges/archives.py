"""The archive of an image that a team hands in, inspected without being loaded or run.

It is read once from begin to end, in constant memory. What it says of itself (names, digests,
configuration) is compared with what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.challenges.archive_files import ArchiveFiles, read_files
from evaluator.challenges.byte_streams import Budget, LimitReachedError, Stream
from evaluator.challenges.image_check import ImageReport, inspect_image
from evaluator.challenges.image_index import ImageFiles, docker_images, oci_images
from evaluator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """What an archive may hold, and how long its inspection may take."""

    #: size of the file, bytes
    packed_bytes: int = 40 * GIB
    #: all layers together, unpacked, bytes
    unpacked_bytes: int = 100 * GIB
    #: files, folders and links of all layers together
    entries: int = 3_000_000
    #: a layer that unpacks to more than this multiple of its size is refused
    ratio: float = 100.0
    seconds: float = 3600.0
    architectures: tuple[str, ...] = ("amd64",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """What an archive holds and what is wrong with it; all texts are whole sentences."""

    #: sha256 of the file, in hex; empty if it was not read to its end
    sha256: str
    packed_bytes: int
    unpacked_bytes: int
    images: tuple[ImageReport, ...]
    #: reasons to refuse the archive
    problems: tuple[str, ...]
    #: what organisers and team should know
    notes: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against the archive."""
        return not self.problems


def inspect_archive(
    path: Path,
    limits: ArchiveLimits | None = None,
    *,
    earlier: Mapping[str, str] | None = None,
    contract: str | None = None,
) -> ArchiveReport:
    """Read an archive of ``docker save`` or ``podman save`` (or in the OCI layout), packed or not.

    Args:
        path: the file.
        limits: what it may hold.
        earlier: "sha256:..." of the configuration -> the submission that had this image.
        contract: container contract of the track, if the image's labels name none.

    Returns:
        what the archive holds. Whatever is wrong with it is a sentence of ``problems``.

    Raises:
        UserError: the file does not exist or cannot be read.
    """
    limits = limits or ArchiveLimits()
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UserError(f"{path} is not a file; name an archive written by docker save")
        if size > limits.packed_bytes:
            return _too_large(size, limits)
        with path.open("rb") as file:
            return _inspect(Stream(file.read), size, limits, earlier or {}, contract)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _too_large(size: int, limits: ArchiveLimits) -> ArchiveReport:
    problem = (
        f"The archive has {size / GIB:.1f} GiB, and {limits.packed_bytes / GIB:g} GiB are allowed."
    )
    return ArchiveReport(
        sha256="", packed_bytes=size, unpacked_bytes=0, images=(), problems=(problem,), notes=()
    )


def _inspect(
    stream: Stream,
    size: int,
    limits: ArchiveLimits,
    earlier: Mapping[str, str],
    contract: str | None,
) -> ArchiveReport:
    budget = Budget(
        unpacked_bytes=limits.unpacked_bytes, entries=limits.entries, seconds=limits.seconds
    )
    try:
        files = read_files(stream, budget, ratio=limits.ratio)
    except LimitReachedError as error:
        text = f"{str(error)[0].upper()}{str(error)[1:]}."
        return ArchiveReport(
            sha256="", packed_bytes=size, unpacked_bytes=0, images=(), problems=(text,), notes=()
        )
    problems, notes = list(files.problems), list(files.notes)
    images = _images(files, problems, notes)
    reports = []
    for image in images:
        report = inspect_image(image, files, limits.architectures, contract, problems, notes)
        if report is None:
            continue
        reports.append(report)
        if report.config.digest in earlier:
            problems.append(f"This image was handed in before, as {earlier[report.config.digest]}.")
    return ArchiveReport(
        sha256=stream.sha256,
        packed_bytes=size,
        unpacked_bytes=sum(layer.unpacked_bytes for layer in files.layers.values()),
        images=tuple(reports),
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _images(files: ArchiveFiles, problems: list[str], notes: list[str]) -> list[ImageFiles]:
    """The images by ``manifest.json``, or by ``index.json``; both must name the same ones."""
    try:
        images, others = docker_images(files.documents), oci_images(files.documents)
    except UserError as error:
        problems.append(f"{str(error)[0].upper()}{str(error)[1:]}.")
        return []
    if images and others:
        contents = [
            {(files.hashes.get(files.resolve(image.config)), len(image.layers)) for image in group}
            for group in (images, others)
        ]
        if contents[0] != contents[1]:
            problems.append(
                "manifest.json and index.json name different images, so programs would run "
                "different ones."
            )
    elif others:
        notes.append(
            "The archive has the OCI layout alone, which Docker before version 25 cannot load."
        )
    images = images or others
    if not images and not problems:
        problems.append(
            "The archive holds no image: it has no manifest.json; write it with docker save."
        )
    if len(images) > 1:
        problems.append(f"The archive holds {len(images)} images; save one image alone.")
    return images
