"""What a file of ``docker save`` or ``podman save`` holds, read without a container program."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.errors import UserError
from evaluator.files import DAMAGED_TAR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: manifests and configurations are small; more is refused
JSON_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image declares about itself."""

    #: "sha256:..." of the configuration, which is the image's id in Docker and Podman
    digest: str
    tags: tuple[str, ...]
    architecture: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    working_dir: str
    volumes: tuple[str, ...]
    labels: Mapping[str, str]


def read_archive(path: Path) -> list[ImageConfig]:
    """The images of an archive, compressed or not.

    Raises:
        UserError: the file is no such archive.
    """
    try:
        with tarfile.open(path) as archive:
            manifest = json.loads(_read(archive, "manifest.json"))
            return [_image(archive, entry) for entry in manifest]
    except (*DAMAGED_TAR, OSError, LookupError, TypeError) as error:
        raise UserError(f"{path} holds no image of docker save: {error}") from None


def _image(archive: tarfile.TarFile, entry: Mapping[str, Any]) -> ImageConfig:
    raw = _read(archive, str(entry["Config"]))
    tags = tuple(map(str, entry.get("RepoTags") or ()))
    return parse_config(raw, f"sha256:{hashlib.sha256(raw).hexdigest()}", tags)


def parse_config(raw: bytes, digest: str, tags: tuple[str, ...]) -> ImageConfig:
    """The facts of an image's configuration.

    Raises:
        ValueError: it is not JSON.
        LookupError, TypeError: it is not a configuration.
    """
    body = json.loads(raw)
    config = body.get("config") or {}
    return ImageConfig(
        digest=digest,
        tags=tags,
        architecture=str(body.get("architecture") or ""),
        user=str(config.get("User") or ""),
        entrypoint=tuple(map(str, config.get("Entrypoint") or ())),
        command=tuple(map(str, config.get("Cmd") or ())),
        working_dir=str(config.get("WorkingDir") or ""),
        volumes=tuple(sorted(config.get("Volumes") or {})),
        labels={str(key): str(text) for key, text in (config.get("Labels") or {}).items()},
    )


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(name)
    if not member.isfile() or member.size > JSON_BYTES:
        raise ValueError(f"{name} is not a small file")
    file = archive.extractfile(member)
    assert file is not None
    return file.read()
