"""The SIF files of apptainer: one for each image, made once, in the cache.

``UMD_CACHE/sif/<digest>.sif`` has ``<digest>.json`` beside it with what the image declares.
``tags.json`` says which digest a name means.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from evaluator.containers.engines.apptainer import build_argv
from evaluator.containers.engines.docker_archive import ImageConfig, read_archive
from evaluator.errors import BuildError, HostError, UserError, write_fault
from evaluator.files import read_json, write_json
from evaluator.locks import file_lock

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.programs import Program

#: a large image is compressed for many minutes
BUILD_SECONDS = 3 * 3600.0
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class SifFiles:
    """The SIF files of one cache folder."""

    def __init__(self, folder: Path, program: Program) -> None:
        self._folder, self._program = folder, program

    def find(self, reference: str) -> str | None:
        """The digest of an image that is here; None if it is not."""
        digest = reference
        if not DIGEST.fullmatch(reference):
            digest = self._tags().get(full_name(reference), "")
        return digest if digest and self.path(digest).is_file() else None

    def path(self, digest: str) -> Path:
        """The SIF file of an image."""
        return self._folder / f"{digest.removeprefix('sha256:')}.sif"

    def config(self, digest: str) -> ImageConfig:
        """What an image declares.

        Raises:
            HostError: the file beside the image is missing.
        """
        path = self.path(digest).with_suffix(".json")
        try:
            body = dict(read_json(path))
            lists = {key: tuple(body[key]) for key in ("tags", "entrypoint", "command", "volumes")}
            return ImageConfig(**(body | lists))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise HostError(
                f"{path} cannot be read ({error}); remove {self.path(digest)} and load the image "
                "again"
            ) from None

    def tag(self, digest: str, reference: str) -> None:
        """Give an image a name."""
        with file_lock(self._folder / "tags.lock", "umd"):
            write_json(self._folder / "tags.json", self._tags() | {full_name(reference): digest})

    def load(self, archive: Path) -> str:
        """Make the SIF file of an archive's only image, unless it is here; returns the digest.

        Raises:
            UserError: the file holds no image, or several.
            BuildError: apptainer cannot convert it.
        """
        images = read_archive(archive)
        if len(images) != 1:
            raise UserError(f"{archive} holds {len(images)} images; save one image alone")
        image = images[0]
        self._make(image, f"docker-archive:{archive}")
        for tag in image.tags:
            self.tag(image.digest, tag)
        return image.digest

    def pull(self, reference: str) -> bool:
        """Make the SIF file of an image of a registry; False if it cannot be had.

        Raises:
            UserError: the reference has no digest; apptainer does not tell which image it got.
        """
        name, _, digest = reference.rpartition("@")
        if not name or not DIGEST.fullmatch(digest):
            raise UserError(
                f"apptainer cannot tell which image {reference} is: name it by its digest, "
                "NAME@sha256:..., or name a file that docker save or podman save wrote"
            )
        image = ImageConfig(
            digest=digest, tags=(reference,), architecture="", user="", entrypoint=(), command=(),
            working_dir="", volumes=(), labels={},
        )  # fmt: skip
        try:
            self._make(image, f"docker://{reference}")
        except BuildError:
            return False
        self.tag(digest, reference)
        return True

    def _make(self, image: ImageConfig, source: str) -> None:
        final = self.path(image.digest)
        self._folder.mkdir(parents=True, exist_ok=True)
        with file_lock(final.with_suffix(".lock"), f"converts {image.digest[:19]}"):
            if final.is_file():
                return
            part = final.with_name(f"{secrets.token_hex(6)}.part.sif")
            try:
                ended = self._program.call(build_argv(part, source), timeout=BUILD_SECONDS)
                if ended.code != 0 or not part.is_file():
                    raise BuildError(f"apptainer cannot convert {source}: {ended.reason}")
                write_json(final.with_suffix(".json"), asdict(image))
                part.replace(final)
            except OSError as error:
                raise write_fault(final, error) from error
            finally:
                with suppress(OSError):
                    part.unlink()

    def _tags(self) -> dict[str, str]:
        path = self._folder / "tags.json"
        return dict(read_json(path)) if path.exists() else {}


def full_name(reference: str) -> str:
    """A name with a tag and without the registries that programs add: ``umd/base:latest``."""
    name = reference.removeprefix("docker.io/").removeprefix("localhost/")
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in name else f"{name}:latest"
