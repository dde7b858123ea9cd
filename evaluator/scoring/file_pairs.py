"""Which files are compared with which, and what the numbers in them are called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import ManifestError, UserError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A reference, what was predicted for it, if anything was, and the image of both, if there is one."""

    name: str
    reference: Path
    prediction: Path | None = None
    image: Path | None = None


def find_pairs(
    prediction: Path, reference: Path, image: Path | None = None
) -> tuple[list[Pair], list[str]]:
    """Two files make one pair; two folders one for each reference, and the names of predictions without a reference.

    ``image`` is a file or folder as the other two are. Raises UserError for a file against a folder, for a folder without
    volumes, for two files of one name, and for a reference without an image where there is a folder of images.
    """
    given = [prediction, reference, *([image] if image else [])]
    if len({path.is_dir() for path in given}) > 1:
        raise UserError(f"{', '.join(map(str, given))}: give files, or give folders")
    # what the user names may be a link; what lies in a folder of predictions may not
    prediction = prediction.resolve()
    if not reference.is_dir():
        return [
            Pair(name=stem(reference), reference=reference, prediction=prediction, image=image)
        ], []
    theirs, ours, images = (
        _volumes(prediction),
        _volumes(reference),
        _volumes(image) if image else {},
    )
    if not ours:
        raise UserError(f"{reference} holds no volume ({', '.join(SUFFIXES)})")
    if image and (lacking := sorted(ours.keys() - images.keys())):
        raise UserError(
            f"{image} holds no image for {', '.join(lacking[:5])}; each is found by its reference's name"
        )
    pairs = [
        Pair(name=name, reference=path, prediction=theirs.get(name), image=images.get(name))
        for name, path in ours.items()
    ]
    return pairs, sorted(theirs.keys() - ours.keys())


def read_label_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Names of labels from JSON: ``{"liver": 5}``, ``{"5": "liver"}``, or an nnU-Net dataset.json. Raises ManifestError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        table = body.get("labels", body)
        names: dict[str, tuple[int, ...]] = {}
        for key, value in table.items():
            if isinstance(value, str):
                names[value] = (*names.get(value, ()), int(key))
            else:
                names[key] = (
                    tuple(int(one) for one in value) if isinstance(value, list) else (int(value),)
                )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ManifestError(
            f'{path}: no table of labels such as {{"liver": 5}} or {{"5": "liver"}}: {error}'
        ) from None
    return {name: values for name, values in names.items() if values != (0,)}


def stem(path: Path) -> str:
    """A volume's name without its suffix."""
    return next(
        (path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end)), path.stem
    )


def _volumes(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(SUFFIXES) and not path.name.startswith("."):
            if stem(path) in found:
                raise UserError(
                    f"{folder} holds {found[stem(path)].name} and {path.name}: two volumes of one name"
                )
            found[stem(path)] = path
    return found
