"""The few things asked of the engine for building: find, build, import, pull, tag."""

from __future__ import annotations

import logging
import re
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import docker.errors

from evaluator.containers.engines.docker import DockerEngine, engine_faults
from evaluator.errors import BuildError, write_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Say = Callable[[str], None]

logger = logging.getLogger(__name__)

TAIL_LINES = 30


class BuildClient:
    """A connection to the engine; raises EngineUnavailableError where none answers."""

    def __init__(self, client: Any = None) -> None:
        self._client = client or DockerEngine.connect().client

    def find(self, reference: str) -> str | None:
        """The id of an image on this machine; None if it is not there."""
        try:
            with engine_faults_but_missing():
                return str(self._client.images.get(reference).id)
        except docker.errors.ImageNotFound:
            return None

    def labels(self, reference: str) -> dict[str, str]:
        """An image's labels."""
        with engine_faults():
            return dict(self._client.images.get(reference).labels)

    def also(self, reference: str, repository: str, tag: str) -> None:
        """Give an image a second name."""
        with engine_faults():
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
    ) -> str:
        """Build an image on the host's network and return its id; raises BuildError with the last lines.

        ``labels`` stand above those of the Dockerfile.
        """
        lines: list[str] = []
        with _packed(context) as file, engine_faults():
            stream = self._client.api.build(
                fileobj=file,
                custom_context=True,
                dockerfile=dockerfile,
                tag=reference,
                buildargs=dict(arguments or {}),
                labels=dict(labels or {}),
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
                timeout=3600,
            )
            failed = None
            for event in stream:
                text = str(event.get("stream") or event.get("status") or "").strip()
                if text:
                    lines.append(text)
                if text.startswith("Step "):
                    logger.info(f"  {text[:100]}")
                failed = event.get("error") or failed
        digest = None if failed else self.find(reference)
        if digest is None:
            tail = "\n    ".join(lines[-TAIL_LINES:])
            raise BuildError(f"{what} does not build: {failed}\n    {tail}")
        return digest

    def registry(self) -> str:
        """Address of the registry that short names stand for; empty if the engine does not tell."""
        with engine_faults():
            return str(self._client.info().get("IndexServerAddress") or "")

    def pull(self, reference: str) -> bool:
        """Pull a public image; False where that does not work."""
        try:
            self._client.images.pull(reference)
        except docker.errors.DockerException:
            return False
        return True

    def save(self, reference: str, path: Path) -> None:
        """Write an image to a file that is either whole or not there. Raises HostError when the disk refuses."""
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with engine_faults(), part.open("wb") as file:
                for chunk in self._client.images.get(reference).save(named=reference):
                    file.write(chunk)
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise write_fault(path, error) from error

    def load(self, path: Path) -> None:
        """Read an image that ``save`` wrote."""
        with engine_faults(), path.open("rb") as file:
            self._client.images.load(file)

    def import_tar(self, path: Path, repository: str, tag: str) -> None:
        """Make an image of a file system."""
        with engine_faults():
            told = self._client.api.import_image_from_file(str(path))
            made = re.findall(r'"status":\s*"(?:sha256:)?([0-9a-f]{12,64})"', told)
            if not made:
                raise BuildError(f"the engine did not take the base file system: {told[-500:]}")
            # Podman forgets a tag given at import, and looks for short names under this registry's
            self._client.images.get(made[-1]).tag(f"docker.io/{repository}", tag)


@contextmanager
def _packed(context: Path) -> Iterator[IO[bytes]]:
    """The build context as the engine takes it, beside itself and not in /tmp, which is often small. Raises HostError.

    Everything in it is readable to all and root's: an image runs as any user, and is the same whatever umask it is built under.
    """

    def told(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
        return member

    with tempfile.TemporaryFile(dir=context.parent) as file:
        try:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for path in sorted(context.iterdir()):
                    archive.add(path, arcname=path.name, filter=told)
            file.seek(0)
        except OSError as error:
            raise write_fault(context.parent, error) from error
        yield file


def engine_faults_but_missing() -> Any:
    """As ``engine_faults``, but "no such image" passes."""

    @contextmanager
    def guard() -> Any:
        try:
            yield
        except docker.errors.ImageNotFound:
            raise
        except docker.errors.APIError:
            with engine_faults():
                raise

    return guard()
