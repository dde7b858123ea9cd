"""Base images carried in a bundle, for a machine that reaches no registry and no package archive.

``BUNDLE/images/<base>-<flavour>-<machine>.tar`` is what ``docker save`` writes; ``images.json`` beside it holds its sha256
and the image's id.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.errors import ModelPartsError
from evaluator.files import read_json, write_json
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.download import file_sha256
from evaluator.zoo.wheels import ImagePlatform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.zoo.docker_client import BuildClient

    Say = Callable[[str], None]

logger = logging.getLogger(__name__)


def save_base(root: Path, name: str, image: ImagePlatform, builder: BuildClient) -> None:
    """Put the base image into the bundle, made first if it is not here; nothing to do where that very one lies there.

    Raises ModelPartsError for the image of another kind of machine.
    """
    own = ImagePlatform(flavour=image.flavour).machine
    if image.machine != own:
        raise ModelPartsError(
            f"a base image for {image.machine} is made on such a machine, and this one is {own}: add --no-base here, and fetch it there"
        )
    digest = ensure_base(name, builder, flavour=image.flavour)
    path, known = _path(root, name, image), _record(root)
    if known.get(path.name, {}).get("id") == digest and path.is_file():
        return
    logger.info(f"saving umd/{name} ({image.name}) into the bundle")
    builder.save(f"umd/{name}:latest", path)
    write_json(
        root / "images" / "images.json",
        known | {path.name: {"id": digest, "sha256": file_sha256(path)}},
    )


def load_base(root: Path, name: str, image: ImagePlatform, builder: BuildClient) -> str | None:
    """The id of the base image that a bundle carries, loaded into the engine; None where it carries none."""
    path = _path(root, name, image)
    known = _record(root).get(path.name)
    if known is None:
        return None
    digest = str(known["id"])
    if builder.find(digest) is None:
        if not path.is_file() or file_sha256(path) != known["sha256"]:
            raise ModelPartsError(f"{path} is not there or was changed; fetch the bundle again")
        logger.info(f"loading umd/{name} ({image.name}) from the bundle")
        builder.load(path)
    builder.also(digest, f"umd/{name}", "latest")
    return digest


def _path(root: Path, name: str, image: ImagePlatform) -> Path:
    return root / "images" / f"{name}-{image.name}.tar"


def _record(root: Path) -> dict[str, dict[str, str]]:
    path = root / "images" / "images.json"
    return dict(read_json(path)) if path.exists() else {}
