"""The operations of the engine that building needs: find, build, import, pull, tag, save, load."""

from __future__ import annotations

import logging
import re
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import docker.errors

from evaluator.containers.engines.docker import DockerEngine
from evaluator.containers.engines.docker_errors import engine_faults, engine_gone, explanation
from evaluator.errors import BuildError, UserError, write_fault
from evaluator.plain_text import clean_text
from evaluator.zoo.image_store import ImageDescription

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)


TAIL_LINES = 30


class BuildClient:
    """The images of Docker, or of Podman's service; see ``evaluator.zoo.image_store.ImageStore``.

    Raises:
        EngineUnavailableError: no engine answers.
    """

    builds = True

    def __init__(self, client: Any = None) -> None:
        self._client = client or DockerEngine.connect().client

    def find(self, reference: str) -> str | None:
        """The id of an image on this machine; None if it does not exist."""
        try:
            with engine_faults_but_missing(self._client):
                return str(self._client.images.get(reference).id)
        except docker.errors.ImageNotFound:
            return None

    def labels(self, reference: str) -> dict[str, str]:
        """An image's labels."""
        with engine_faults(self._client):
            return dict(self._client.images.get(reference).labels)

    def add_tag(self, reference: str, repository: str, tag: str) -> None:
        """Give an image a second name."""
        with engine_faults(self._client):
            self._client.images.get(reference).tag(repository, tag)

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
        lines: list[str] = []
        with _packed(context) as file, engine_gone(self._client), _dockerfile_faults(what):
            stream = self._client.api.build(
                fileobj=file,
                custom_context=True,
                dockerfile=dockerfile,
                tag=reference,
                buildargs=dict(arguments or {}),
                labels=dict(labels or {}),
                network_mode="host" if network else "none",
                container_limits={"memory": self._memory()},
                rm=True,
                forcerm=True,
                decode=True,
                timeout=3600,
            )
            failed = None
            for event in stream:
                text = clean_text(str(event.get("stream") or event.get("status") or "").strip())
                if text:
                    lines.append(text)
                if text.startswith("Step "):
                    logger.info(f"  {text[:100]}")
                failed = clean_text(str(event.get("error") or "")) or failed
        digest = None if failed else self.find(reference)
        if digest is None:
            tail = "\n    ".join(lines[-TAIL_LINES:])
            raise BuildError(f"{what} does not build: {failed}\n    {tail}")
        return digest

    def _memory(self) -> int:
        return int(self._client.info()["MemTotal"]) * 9 // 10

    def registry(self) -> str:
        """Address of the registry for short image names; empty if the engine does not report it."""
        with engine_faults(self._client):
            return str(self._client.info().get("IndexServerAddress") or "")

    def pull(self, reference: str) -> bool:
        """Pull a public image; False if that fails."""
        try:
            self._client.images.pull(reference)
        except docker.errors.DockerException as error:
            logger.debug(f"{reference} cannot be pulled: {error}")
            return False
        return True

    def save(self, reference: str, path: Path) -> None:
        """Write an image to a file atomically.

        Raises:
            HostError: the file cannot be written, for example because the disk is full.
        """
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with engine_faults(self._client), part.open("wb") as file:
                for chunk in self._client.images.get(reference).save(named=reference):
                    file.write(chunk)
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise write_fault(path, error) from error

    def load(self, path: Path) -> list[str]:
        """Read the images of a file that ``docker save`` or ``save`` wrote; returns their ids.

        Raises:
            UserError: the file holds no image.
        """
        try:
            with path.open("rb") as file:
                images = self._client.images.load(file)
        except docker.errors.ImageLoadError as error:
            raise UserError(f"{path} holds no image of docker save: {error}") from None
        except docker.errors.APIError as error:
            if error.is_client_error() or "archive/tar" in str(error) or "EOF" in str(error):
                raise UserError(f"{path} holds no image of docker save: {error}") from None
            with engine_faults(self._client):
                raise
        return sorted({str(image.id) for image in images})

    def describe(self, reference: str) -> ImageDescription:
        """What an image declares about itself."""
        with engine_faults(self._client):
            attributes = self._client.images.get(reference).attrs
        config = attributes.get("Config") or {}
        return ImageDescription(
            digest=str(attributes["Id"]),
            architecture=str(attributes.get("Architecture") or ""),
            user=str(config.get("User") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            labels=dict(config.get("Labels") or {}),
            size=int(attributes.get("Size") or 0),
        )

    def import_tar(self, path: Path, repository: str, tag: str) -> None:
        """Create an image from a tar archive of a file system."""
        with engine_faults(self._client):
            output = self._client.api.import_image_from_file(str(path))
            digests = re.findall(r'"status":\s*"(?:sha256:)?([0-9a-f]{12,64})"', output)
            if not digests:
                raise BuildError(f"the engine refused the base file system: {output[-500:]}")
            # Podman forgets a tag set at import, and looks for short names under this registry
            self._client.images.get(digests[-1]).tag(f"docker.io/{repository}", tag)


@contextmanager
def _packed(context: Path) -> Iterator[IO[bytes]]:
    """The build context as a tar file, as the engine expects it.

    The file lies next to the context and not in /tmp, which is often small. All members belong to
    root and are readable by everyone, because an image can run as any user and must not depend on
    the umask of the build.

    Raises:
        HostError: the file cannot be written.
    """

    def normalise(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tempfile.TemporaryFile(dir=context.parent) as file:
        try:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for path in sorted(context.iterdir()):
                    archive.add(path, arcname=path.name, filter=normalise)
            file.seek(0)
        except OSError as error:
            raise write_fault(context.parent, error) from error
        yield file


@contextmanager
def _dockerfile_faults(what: str) -> Iterator[None]:
    """What the engine refuses before a build starts is a fault of the Dockerfile."""
    try:
        yield
    except docker.errors.APIError as error:
        raise BuildError(f"{what} does not build: {explanation(error)}") from error


@contextmanager
def engine_faults_but_missing(client: Any) -> Iterator[None]:
    """Like ``engine_faults``, but ``ImageNotFound`` is raised unchanged."""
    try:
        yield
    except docker.errors.ImageNotFound:
        raise
    except docker.errors.APIError:
        with engine_faults(client):
            raise
