"""What building and registering need of a container engine's images, whatever the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evaluator.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: of a build's output, which a failure ends with
TAIL_LINES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDescription:
    """What an image declares about itself."""

    digest: str
    architecture: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    labels: Mapping[str, str]
    #: bytes; 0: unknown
    size: int = 0


class ImageStore(Protocol):
    """The images of one engine on this machine."""

    #: whether it builds images from a Dockerfile
    builds: bool

    def find(self, reference: str) -> str | None:
        """The id of an image on this machine; None if it does not exist."""

    def labels(self, reference: str) -> dict[str, str]:
        """An image's labels."""

    def add_tag(self, reference: str, repository: str, tag: str) -> None:
        """Give an image a second name."""

    def build(
        self,
        context: Path,
        dockerfile: str,
        reference: str,
        *,
        what: str,
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        network: bool = True,
    ) -> str:
        """Build an image, with at most nine tenths of the machine's memory.

        Args:
            context: the folder of the build context.
            dockerfile: name of the Dockerfile in the context.
            reference: name and tag of the new image.
            what: name of the image in error messages.
            arguments: build arguments.
            labels: labels that override those of the Dockerfile.
            network: whether the build may use the host's network; without, it has none.

        Returns:
            the id of the image.

        Raises:
            BuildError: the build failed, or the engine cannot read the Dockerfile; the message ends
                with the last lines.
            HostError: the build context cannot be written, or the engine is gone.
        """

    def registry(self) -> str:
        """Address of the registry for short image names; empty if it is unknown."""

    def pull(self, reference: str) -> bool:
        """Pull a public image; False if that fails."""

    def save(self, reference: str, path: Path) -> None:
        """Write an image to a file atomically.

        Raises:
            HostError: the file cannot be written, for example because the disk is full.
        """

    def load(self, path: Path) -> list[str]:
        """Read the images of a file of ``docker save`` or ``podman save``; returns their ids.

        Raises:
            UserError: the file holds no image.
        """

    def describe(self, reference: str) -> ImageDescription:
        """What an image declares about itself."""

    def import_tar(self, path: Path, repository: str, tag: str) -> None:
        """Create an image from a tar archive of a file system."""


def build_fault(what: str, reason: object, lines: Sequence[str]) -> BuildError:
    """The error to raise when the image ``what`` does not build, with the last lines."""
    tail = "\n    ".join(lines[-TAIL_LINES:])
    return BuildError(f"{what} does not build: {reason}\n    {tail}")


def description_of(
    inspected: Mapping[str, Any], labels: Mapping[str, str] | None
) -> ImageDescription:
    """What an image declares, from an engine's answer to ``image inspect``."""
    config = inspected.get("Config") or {}
    return ImageDescription(
        digest=f"sha256:{str(inspected['Id']).removeprefix('sha256:')}",
        architecture=str(inspected.get("Architecture") or ""),
        user=str(config.get("User") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        labels=dict(labels or {}),
        size=int(inspected.get("Size") or 0),
    )
