"""The zoo: every ``dockerfiles/<model>.Dockerfile`` with a model card in its labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError
from evaluator.zoo.cards import dockerfile_labels, parse_card

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.types import ModelCard

#: images that models are built on
BASES = ("base", "torch")
SUFFIX = ".Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooModel:
    """A model of the checkout; ``adapter`` is None if it does not use the SDK."""

    name: str
    dockerfile: Path
    adapter: Path | None
    card: ModelCard


def zoo() -> list[ZooModel]:
    """All models whose card can be read, by name."""
    return [model for model in map(_try, _dockerfiles()) if isinstance(model, ZooModel)]


def broken_models() -> dict[str, str]:
    """Models whose card cannot be read: name -> reason."""
    results = {path.name.removesuffix(SUFFIX): _try(path) for path in _dockerfiles()}
    return {name: result for name, result in results.items() if isinstance(result, str)}


def find_model(name: str) -> ZooModel:
    """The model of this name.

    Raises:
        UnknownNameError: there is no such model; the message suggests similar names.
        ManifestError: its labels are wrong.
    """
    files = {path.name.removesuffix(SUFFIX): path for path in _dockerfiles()}
    if name not in files:
        raise UnknownNameError("model", name, files)
    return _read(files[name])


def local_digest(model: ZooModel) -> str:
    """A hash of the model's files and of the SDK, in place of an image digest.

    For a model that runs without a container.
    """
    root = paths.project()
    return "files:" + hash_files(
        [model.dockerfile, root / "models" / model.name, root / "models" / "sdk"], root
    )


def hash_files(paths: Iterable[Path], root: Path) -> str:
    """sha256 over names and contents of files, and of all files in folders.

    A missing file enters the hash as absent.
    """
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" in file.parts or file.is_dir():
                continue
            digest.update(f"{file.relative_to(root)}\0".encode())
            digest.update(
                hashlib.sha256(file.read_bytes()).digest() if file.exists() else b"absent"
            )
    return digest.hexdigest()


def _dockerfiles() -> list[Path]:
    files = sorted((paths.project() / "dockerfiles").glob(f"*{SUFFIX}"))
    return [path for path in files if path.name.removesuffix(SUFFIX) not in BASES]


def _try(path: Path) -> ZooModel | str:
    try:
        return _read(path)
    except ManifestError as error:
        return str(error)


def _read(path: Path) -> ZooModel:
    name = path.name.removesuffix(SUFFIX)
    card = parse_card(
        dockerfile_labels(path.read_text(encoding="utf-8")), f"dockerfiles/{path.name}"
    )
    if card.name != name:
        raise ManifestError(
            f"dockerfiles/{path.name}: label umd.name is {card.name!r}; "
            f"it must be the file's, {name!r}"
        )
    adapter = paths.project() / "models" / name / "adapter.py"
    return ZooModel(
        name=name, dockerfile=path, adapter=adapter if adapter.is_file() else None, card=card
    )
