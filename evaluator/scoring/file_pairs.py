"""Pairs of files to score."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.plain_text import readable_name
from evaluator.volumes import SUFFIXES
from evaluator.volumes.volume_file import DICOM_HINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

CHANNEL = "_0000"
"""The suffix that nnU-Net gives the first image of a case, and no mask."""


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

    Names are compared in Unicode's composed form (NFC), since some systems write the decomposed
    form.

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
        hint = DICOM_HINT if any(reference.rglob("*.dcm")) else _describe_folders(reference)
        raise UserError(f"{reference} holds no volume ({', '.join(SUFFIXES)}){hint}")
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


def name_notes(pairs: Sequence[Pair], unpaired: Sequence[str]) -> list[str]:
    """What a user should know about the names of two folders."""
    missing = [pair.name for pair in pairs if pair.prediction is None]
    notes = []
    if len(missing) == len(pairs) and not unpaired:
        notes.append("the folder of predictions holds no volume: nothing can be scored")
    elif len(missing) == len(pairs):
        notes.append(
            f"none of the predictions matches a reference (0 of {len(pairs)}): predictions are "
            f"named {_some(unpaired)}, references {_some(missing)}"
        )
    for name in unpaired:
        alike = _similar(name, missing)
        hint = f"; is it the prediction of {alike}?" if alike else ""
        if alike and name == alike + CHANNEL:
            hint = f"; is it the prediction of {alike}? {CHANNEL} is nnU-Net's suffix of an image"
        notes.append(f"{name}: not scored, because it has no reference{hint}")
    if missing and len(missing) < len(pairs):
        notes.append(f"{len(missing)} of {len(pairs)} predictions are missing: {_some(missing)}")
    return notes


def stem(path: Path) -> str:
    """A volume's name without its suffix, in Unicode's composed form.

    Bytes that are no UTF-8 are written as ``readable_name`` does.
    """
    name = unicodedata.normalize("NFC", readable_name(path.name))
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return unicodedata.normalize("NFC", readable_name(path.stem))


def _describe_folders(folder: Path) -> str:
    """What to do with a folder that holds folders of volumes."""
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not inner:
        return ""
    return (
        f"; its folders ({_some(inner)}) are not searched. Score them one by one, as in "
        f"{folder / inner[0]}, or score all as a run with umd import-predictions --pattern"
    )


def _volumes(folder: Path) -> dict[str, Path]:
    volumes: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.lower().endswith(SUFFIXES) or path.name.startswith("."):
            continue
        name = stem(path)
        if name in volumes:
            forms = ""
            if stem(path) != path.name[: len(name)] or stem(volumes[name]) != name:
                forms = " (Unicode's composed and decomposed form are one name)"
            raise UserError(
                f"{folder} holds {volumes[name].name} and {path.name}: "
                f"two volumes of one name{forms}"
            )
        volumes[name] = path
    return volumes


def _similar(name: str, references: Iterable[str]) -> str | None:
    """The reference without a prediction that a prediction's name may mean."""
    known = {reference.casefold(): reference for reference in references}
    plain = name.casefold()
    if plain.removesuffix(CHANNEL) in known:
        return known[plain.removesuffix(CHANNEL)]
    containing = [known[word] for word in known if plain.startswith(word) or word.startswith(plain)]
    if len(containing) == 1:
        return containing[0]
    close = get_close_matches(plain, known, n=1, cutoff=0.8)
    return known[close[0]] if close else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
