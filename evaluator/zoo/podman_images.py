"""Images of podman, by its command line."""

from __future__ import annotations

import json
import logging
import subprocess
from typing import TYPE_CHECKING, Any

from evaluator.errors import HostError, UserError
from evaluator.files import whole_file
from evaluator.plain_text import clean_text
from evaluator.zoo.image_store import build_fault, description_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.containers.engines.podman_engine import PodmanDialect
    from evaluator.zoo.image_store import ImageDescription

logger = logging.getLogger(__name__)

BUILD_SECONDS = 3600.0
#: seconds for reading and writing a file with an image
COPY_SECONDS = 1800.0


class PodmanImages:
    """See ``evaluator.zoo.image_store.ImageStore``."""

    builds = True

    def __init__(self, dialect: PodmanDialect) -> None:
        self._program, self._facts = dialect.program, dialect.facts

    def find(self, reference: str) -> str | None:
        """See ``ImageStore``."""
        image = self._inspect(reference)
        return f"sha256:{image['Id']}" if image else None

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        ended = self._program.call(["image", "inspect", reference.removeprefix("sha256:")])
        if ended.code != 0:
            return None
        return dict(json.loads(ended.output)[0])

    def _present(self, reference: str) -> dict[str, Any]:
        image = self._inspect(reference)
        if image is None:
            raise HostError(f"podman has no image {reference} any more; run again")
        return image

    def labels(self, reference: str) -> dict[str, str]:
        """See ``ImageStore``."""
        return dict(self._present(reference).get("Labels") or {})

    def add_tag(self, reference: str, repository: str, tag: str) -> None:
        """See ``ImageStore``."""
        name = reference.removeprefix("sha256:")
        self._program.answer(["tag", name, f"{_local(repository)}:{tag}"])

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
        argv = build_argv(
            context,
            dockerfile,
            reference,
            arguments=arguments or {},
            labels=labels or {},
            network=network,
            memory=self._facts.memory * 9 // 10 if self._facts.abilities.memory else None,
        )
        _open_to_all(context)
        lines: list[str] = []
        code = self._follow(argv, lines)
        digest = self.find(reference) if code == 0 else None
        if digest is None:
            raise build_fault(what, f"podman ended with {code}", lines)
        return digest

    def _follow(self, argv: list[str], lines: list[str]) -> int:
        """Run a build and collect its lines; returns the exit code."""
        command = self._program.argv(argv)
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(self._program.environment),
                text=True,
                errors="replace",
            ) as process:
                assert process.stdout
                for line in process.stdout:
                    text = clean_text(line.strip())
                    if text:
                        lines.append(text)
                    if text.startswith("STEP "):
                        logger.info(f"  {text[:100]}")
                return process.wait(BUILD_SECONDS)
        except OSError as error:
            raise HostError(f"podman cannot be started: {error.strerror}") from error

    def registry(self) -> str:
        """See ``ImageStore``."""
        return "https://index.docker.io/v1/"

    def pull(self, reference: str) -> bool:
        """See ``ImageStore``."""
        ended = self._program.call(["pull", "--quiet", reference], timeout=COPY_SECONDS)
        if ended.code != 0:
            logger.debug(f"{reference} cannot be pulled: {ended.reason}")
        return ended.code == 0

    def save(self, reference: str, path: Path) -> None:
        """See ``ImageStore``."""
        name = reference.removeprefix("sha256:")
        with whole_file(path) as part:
            argv = ["save", "--format=docker-archive", "--output", str(part), name]
            self._program.answer(argv, timeout=COPY_SECONDS)

    def load(self, path: Path) -> list[str]:
        """See ``ImageStore``."""
        from evaluator.containers.engines.docker_archive import read_archive

        digests = sorted(image.digest for image in read_archive(path))
        ended = self._program.call(["load", "--input", str(path)], timeout=COPY_SECONDS)
        if ended.code != 0:
            raise UserError(f"{path} holds no image of docker save: {ended.reason}")
        missing = [digest for digest in digests if self.find(digest) is None]
        if missing:
            raise HostError(f"podman loaded {path} and does not find {', '.join(missing)}")
        return digests

    def describe(self, reference: str) -> ImageDescription:
        """See ``ImageStore``."""
        image = self._present(reference)
        return description_of(image, image.get("Labels"))

    def import_tar(self, path: Path, repository: str, tag: str) -> None:
        """See ``ImageStore``."""
        self._program.answer(
            ["import", "--quiet", str(path), f"{_local(repository)}:{tag}"], timeout=COPY_SECONDS
        )


def build_argv(
    context: Path,
    dockerfile: str,
    reference: str,
    *,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    network: bool,
    memory: int | None,
) -> list[str]:
    """Arguments after ``podman`` that build an image in Docker's format."""
    argv = ["build", "--format=docker", "--file", str(context / dockerfile)]
    argv += ["--tag", _local(reference), f"--network={'host' if network else 'none'}"]
    argv += ["--http-proxy=false", "--force-rm"]
    argv.append("--pull=missing" if network else "--pull-never")
    argv += [f"--memory={memory}"] if memory else []
    for name, text in arguments.items():
        argv += ["--build-arg", f"{name}={text}"]
    for name, text in labels.items():
        argv += ["--label", f"{name}={text}"]
    return [*argv, str(context)]


def _local(reference: str) -> str:
    """A name that podman does not look for in a registry."""
    return f"localhost/{reference}" if reference.startswith("umd/") else reference


def _open_to_all(context: Path) -> None:
    """Make the files of a build readable by everyone, as an image can run as any user."""
    for path in context.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
