"""Pairs of files to score, and the names of the labels in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import ManifestError, UserError
from evaluator.volumes import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A reference with its prediction and its image, where they exist."""

    name: str
    reference: Path
    prediction: Path | None = None
    image: Path | None = None


def find_pairs(
    prediction: Path, reference: Path, image: Path | None = None
) -> tuple[list[Pair], list[str]]:
    """Match predictions to references: two files, or two folders by file name.

    Args:
        prediction: a file or folder.
        reference: a file or folder, as ``prediction``.
        image: a file or folder, as ``prediction``; None without images.

    Returns:
        One pair for each reference, and the names of predictions without a reference.

    Raises:
        UserError: a file against a folder, a folder without volumes, two files of one name, or a
            reference without an image where there is a folder of images.
    """
    places = [prediction, reference, *([image] if image else [])]
    if len({path.is_dir() for path in places}) > 1:
        raise UserError(f"{', '.join(map(str, places))}: give files, or give folders")
    # what the user names may be a link; what lies in a folder of predictions may not
    prediction = prediction.resolve()
    if not reference.is_dir():
        return [
            Pair(name=stem(reference), reference=reference, prediction=prediction, image=image)
        ], []
    predictions, references = _volumes(prediction), _volumes(reference)
    images = _volumes(image) if image else {}
    if not references:
        raise UserError(f"{reference} holds no volume ({', '.join(SUFFIXES)})")
    missing = sorted(references.keys() - images.keys())
    if image and missing:
        raise UserError(
            f"{image} holds no image for {', '.join(missing[:5])}; "
            "each is found by its reference's name"
        )
    pairs = [
        Pair(name=name, reference=path, prediction=predictions.get(name), image=images.get(name))
        for name, path in references.items()
    ]
    return pairs, sorted(predictions.keys() - references.keys())


def read_label_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Names of labels from JSON: ``{"liver": 5}``, ``{"5": "liver"}`` or nnU-Net's dataset.json.

    Raises ManifestError.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        table = body.get("labels", body)
        names: dict[str, tuple[int, ...]] = {}
        for key, value in table.items():
            if isinstance(value, str):
                names[value] = (*names.get(value, ()), int(key))
            else:
                values = value if isinstance(value, list) else [value]
                names[key] = tuple(int(label) for label in values)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ManifestError(
            f'{path}: no table of labels such as {{"liver": 5}} or {{"5": "liver"}}: {error}'
        ) from None
    return {name: values for name, values in names.items() if values != (0,)}


def stem(path: Path) -> str:
    """A volume's name without its suffix."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def _volumes(folder: Path) -> dict[str, Path]:
    volumes: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.lower().endswith(SUFFIXES) or path.name.startswith("."):
            continue
        name = stem(path)
        if name in volumes:
            raise UserError(
                f"{folder} holds {volumes[name].name} and {path.name}: two volumes of one name"
            )
        volumes[name] = path
    return volumes
