"""Models that are container images from elsewhere, without a Dockerfile in the project.

``NAME.toml`` in the folder ``paths.user_models()`` names the image by its id, so a tag that moves
cannot change a result, and holds the labels of its model card::

    image = "sha256:0123..."
    reference = "team/segmodel:v3"
    archive = "/data/images/segmodel.tar.gz"
    weights = "/data/images/segmodel-weights.tar.gz"
    weights-sha256 = "4567..."

    [labels]
    "umd.contract" = "cvpr25"
    "umd.inputs" = "CT | PT"
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.errors import ManifestError
from evaluator.files import write_bytes
from evaluator.zoo.cards import parse_card
from evaluator.zoo.weights_archive import WeightsArchive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.types import ModelCard

SUFFIX = ".toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredImage:
    """An image that the user named."""

    #: the engine's id of the content, "sha256:..."
    digest: str
    #: as the user named it
    reference: str
    #: file of ``docker save``; None: the image came from the engine or a registry
    archive: Path | None
    #: all labels of the card
    labels: Mapping[str, str]
    #: weights that are mounted; None: the image has its own
    weights: WeightsArchive | None = None


def definition_files() -> list[Path]:
    """The definition files of all registered images, by name."""
    return sorted(paths.user_models().glob(f"*{SUFFIX}"))


def read_definition(path: Path) -> tuple[RegisteredImage, ModelCard]:
    """Read a definition file.

    Raises:
        ManifestError: the file is not as ``add_image`` writes it; the message says what is wrong.
    """
    name = path.name.removesuffix(SUFFIX)
    try:
        body: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    digest, labels = body.get("image"), body.get("labels", {})
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ManifestError(f'{path}: image must be an image id, "sha256:" and 64 digits')
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise ManifestError(f'{path}: [labels] must hold lines such as "umd.inputs" = "CT | PT"')
    archive = body.get("archive")
    image = RegisteredImage(
        digest=digest,
        reference=str(body.get("reference", digest)),
        archive=Path(str(archive)) if archive else None,
        labels=labels,
        weights=_weights_of(body, path),
    )
    return image, parse_card({**labels, "umd.name": name}, str(path))


def write_definition(path: Path, image: RegisteredImage) -> None:
    """Write a definition file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _definition(image).encode())


def _weights_of(body: Mapping[str, Any], path: Path) -> WeightsArchive | None:
    weights, sha256 = body.get("weights"), body.get("weights-sha256")
    if weights is None and sha256 is None:
        return None
    if not isinstance(weights, str) or not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
        raise ManifestError(f"{path}: weights is a file, and weights-sha256 has 64 digits")
    return WeightsArchive(path=Path(weights), sha256=str(sha256))


def _definition(image: RegisteredImage) -> str:
    lines = [
        "# A model of the UMD evaluator: an image from elsewhere.",
        f"image = {_quote(image.digest)}",
        f"reference = {_quote(image.reference)}",
    ]
    if image.archive:
        lines.append(f"archive = {_quote(str(image.archive))}")
    if image.weights:
        lines.append(f"weights = {_quote(str(image.weights.path))}")
        lines.append(f"weights-sha256 = {_quote(image.weights.sha256)}")
    lines += ["", "[labels]"]
    lines += [f"{_quote(key)} = {_quote(text)}" for key, text in sorted(image.labels.items())]
    return "\n".join([*lines, ""])


def _quote(text: str) -> str:
    """A basic string of TOML: JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)
