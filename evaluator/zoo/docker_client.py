"""The operations of the engine that building needs: find, build, import, pull, tag, save, load."""

from __future__ import annotations

import logging
import re
import tarfile
import tempfile
from contextlib import contextmanager
from http.client import BAD_REQUEST
from typing import IO, TYPE_CHECKING, Any

import docker.errors

from evaluator.containers.engines.docker import DockerEngine
from evaluator.containers.engines.docker_errors import GONE, engine_faults, engine_gone, explanation
from evaluator.errors import BuildError, UserError, write_fault
from evaluator.files import whole_file
from evaluator.plain_text import clean_text
from evaluator.zoo.image_store import build_fault, description_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evaluator.zoo.image_store import ImageDescription

logger = logging.getLogger(__name__)

#: seconds until the first byte of an image
COPY_SECONDS = 1800


class BuildClient:
    """The images of Docker, or of Podman's service; see ``evaluator.zoo.image_store.ImageStore``.

    Raises:
        EngineUnavailableError: no engine answers.
    """

    builds = True

    def __init__(self, client: Any = None) -> None:
        self._client = client or DockerEngine.connect().client

    def find(self, reference: str) -> str | None:
        """See ``ImageStore``."""
        try:
            with engine_gone(self._client):
                return str(self._client.images.get(reference).id)
        except docker.errors.NullResource:  # an empty reference
            return None
        except docker.errors.APIError as error:
            # a reference of invalid form, with a space or a capital, names no image
            if isinstance(error, docker.errors.ImageNotFound) or error.status_code == BAD_REQUEST:
                return None
            with engine_faults(self._client):
                raise

    def labels(self, reference: str) -> dict[str, str]:
        """See ``ImageStore``."""
        with engine_faults(self._client):
            return dict(self._client.images.get(reference).labels)

    def add_tag(self, reference: str, repository: str, tag: str) -> None:
        """See ``ImageStore``."""
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
        """See ``ImageStore``."""
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
            raise build_fault(what, failed, lines)
        return digest

    def _memory(self) -> int:
        return int(self._client.info()["MemTotal"]) * 9 // 10

    def registry(self) -> str:
        """Address of the registry for short image names; empty if the engine does not report it."""
        with engine_faults(self._client):
            return str(self._client.info().get("IndexServerAddress") or "")

    def pull(self, reference: str) -> bool:
        """See ``ImageStore``."""
        try:
            self._client.images.pull(reference)
        except (docker.errors.DockerException, *GONE) as error:
            logger.debug(f"{reference} cannot be pulled: {error}")
            return False
        return True

    def save(self, reference: str, path: Path) -> None:
        """See ``ImageStore``."""
        with (
            whole_file(path) as part,
            engine_faults(self._client),
            part.open("wb") as file,
            self._with_patience(),
        ):
            for chunk in self._client.images.get(reference).save(named=reference):
                file.write(chunk)

    @contextmanager
    def _with_patience(self) -> Iterator[None]:
        """Wait longer for an answer: Docker packs all of an image before it sends a byte."""
        api = self._client.api
        usual, api.timeout = api.timeout, COPY_SECONDS
        try:
            yield
        finally:
            api.timeout = usual

    def load(self, path: Path) -> list[str]:
        """See ``ImageStore``."""
        try:
            with engine_gone(self._client), path.open("rb") as file:
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
        """See ``ImageStore``."""
        with engine_faults(self._client):
            attributes = self._client.images.get(reference).attrs
        return description_of(attributes, (attributes.get("Config") or {}).get("Labels"))

    def import_tar(self, path: Path, repository: str, tag: str) -> None:
        """See ``ImageStore``."""
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
