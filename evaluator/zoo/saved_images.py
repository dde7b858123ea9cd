"""Base images saved in a bundle, for a machine without access to a registry or package archive.

``BUNDLE/images/<base>-<flavour>-<machine>.tar`` is an image in the format of ``docker save``;
``images.json`` beside it holds the sha256 of the file and the image's id.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256, read_json, write_json
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.wheels import ImagePlatform

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.zoo.image_store import ImageStore

logger = logging.getLogger(__name__)


def save_base(root: Path, name: str, image: ImagePlatform, builder: ImageStore) -> None:
    """Save a base image in the bundle; build it first if necessary.

    Nothing happens if the bundle already contains the same image.

    Args:
        root: folder of the bundle.
        name: "base" or "torch".
        image: flavour and processor of the image.
        builder: connection to the engine.

    Raises:
        ModelFilesError: the image is for a different kind of processor than this machine's.
    """
    machine = ImagePlatform(flavour=image.flavour).machine
    if image.machine != machine:
        raise ModelFilesError(
            f"a base image for {image.machine} must be made on such a machine, and this one is "
            f"{machine}: add --no-base here, and fetch the image there"
        )
    digest = ensure_base(name, builder, flavour=image.flavour)
    path, record = _path(root, name, image), _read_record(root)
    if record.get(path.name, {}).get("id") == digest and path.is_file():
        logger.debug(f"the bundle already contains umd/{name} ({image.name})")
        return
    logger.info(f"saving umd/{name} ({image.name}) into the bundle")
    builder.save(f"umd/{name}:latest", path)
    write_json(
        root / "images" / "images.json",
        record | {path.name: {"id": digest, "sha256": file_sha256(path)}},
    )


def load_base(root: Path, name: str, image: ImagePlatform, builder: ImageStore) -> str | None:
    """Load a base image from a bundle into the engine.

    Returns:
        the image's id; None if the bundle contains no such image.

    Raises:
        ModelFilesError: the file is missing or was changed.
    """
    path = _path(root, name, image)
    entry = _read_record(root).get(path.name)
    if entry is None:
        logger.debug(f"the bundle {root} contains no base image {path.name}")
        return None
    digest = str(entry["id"])
    if builder.find(digest) is None:
        if not path.is_file() or file_sha256(path) != entry["sha256"]:
            raise ModelFilesError(f"{path} is missing or was changed; fetch the bundle again")
        logger.info(f"loading umd/{name} ({image.name}) from the bundle")
        builder.load(path)
    builder.add_tag(digest, f"umd/{name}", "latest")
    return digest


def is_saved(root: Path, name: str, image: ImagePlatform) -> bool:
    """Whether a bundle contains this base image."""
    path = _path(root, name, image)
    return path.name in _read_record(root) and path.is_file()


def _path(root: Path, name: str, image: ImagePlatform) -> Path:
    return root / "images" / f"{name}-{image.name}.tar"


def _read_record(root: Path) -> dict[str, dict[str, str]]:
    path = root / "images" / "images.json"
    return dict(read_json(path)) if path.exists() else {}
