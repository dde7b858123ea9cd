"""Images of apptainer: files of ``docker save`` and images of registries, converted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from evaluator.errors import BuildError, HostError
from evaluator.zoo.image_store import ImageDescription

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.containers.engines.sif_files import SifFiles

NOT_BUILT = (
    "apptainer does not build from a Dockerfile. On a machine with Docker or Podman: "
    "umd models save {name} -o {name}.tar; copy the file; then here: "
    "umd models load {name}.tar --engine apptainer"
)


class SifImages:
    """See ``evaluator.zoo.image_store.ImageStore``."""

    builds = False

    def __init__(self, files: SifFiles) -> None:
        self._files = files

    def find(self, reference: str) -> str | None:
        """See ``ImageStore``."""
        return self._files.find(reference)

    def _digest(self, reference: str) -> str:
        digest = self._files.find(reference)
        if digest is None:
            raise HostError(f"the cache has no image {reference} any more; run again")
        return digest

    def labels(self, reference: str) -> dict[str, str]:
        """See ``ImageStore``."""
        return dict(self._files.config(self._digest(reference)).labels)

    def add_tag(self, reference: str, repository: str, tag: str) -> None:
        """See ``ImageStore``."""
        self._files.tag(self._digest(reference), f"{repository}:{tag}")

    def build(
        self,
        context: Path,  # noqa: ARG002
        dockerfile: str,  # noqa: ARG002
        reference: str,
        *,
        what: str,
        arguments: Mapping[str, str] | None = None,  # noqa: ARG002
        labels: Mapping[str, str] | None = None,  # noqa: ARG002
        network: bool = True,  # noqa: ARG002
    ) -> NoReturn:
        """Raise BuildError, with the way to an image."""
        name = reference.removeprefix("umd/").partition(":")[0]
        raise BuildError(f"{what}: {NOT_BUILT.format(name=name)}")

    def registry(self) -> str:
        """See ``ImageStore``."""
        return ""

    def pull(self, reference: str) -> bool:
        """See ``ImageStore``: by digest only."""
        return self._files.pull(reference)

    def save(self, reference: str, path: Path) -> NoReturn:  # noqa: ARG002
        """Raise BuildError: a SIF file is not an archive of ``docker save``."""
        raise BuildError(
            f"apptainer cannot save {reference} as a file of docker save; the engine that built "
            "it can"
        )

    def load(self, path: Path) -> list[str]:
        """See ``ImageStore``."""
        return [self._files.load(path.resolve())]

    def describe(self, reference: str) -> ImageDescription:
        """See ``ImageStore``."""
        config = self._files.config(self._digest(reference))
        return ImageDescription(
            digest=config.digest,
            architecture=config.architecture,
            user=config.user,
            entrypoint=config.entrypoint,
            command=config.command,
            labels=config.labels,
        )

    def import_tar(self, path: Path, repository: str, tag: str) -> NoReturn:  # noqa: ARG002
        """Raise BuildError: base images are made by an engine that builds."""
        raise BuildError(NOT_BUILT.format(name=repository.rpartition("/")[2]))
