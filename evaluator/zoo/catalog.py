"""The zoo: ``dockerfiles/<model>.Dockerfile`` with a model card, and the user's own models.

The user's models are registered images and folders with a Dockerfile, in ``paths.user_models()``.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError, UserError
from evaluator.zoo.cards import dockerfile_labels, parse_card
from evaluator.zoo.dockerfiles import copied_paths, module_folders, read_dockerfile
from evaluator.zoo.image_definitions import RegisteredImage, definition_files, read_definition
from evaluator.zoo.model_folders import DOCKERFILE, folder_card, folder_dockerfiles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.types import ModelCard

#: images that models are built on
BASES = ("base", "torch")
SUFFIX = ".Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooModel:
    """A model: a Dockerfile of the checkout or of the user, or a registered image."""

    name: str
    #: None for a registered image
    dockerfile: Path | None
    #: None if the model does not use the SDK
    adapter: Path | None
    card: ModelCard
    #: folders of other models whose modules the Dockerfile copies beside the adapter
    modules: tuple[Path, ...] = ()
    #: None for a Dockerfile
    image: RegisteredImage | None = None
    #: the build context of a Dockerfile outside the checkout; None: the checkout's
    folder: Path | None = None

    @property
    def build_files(self) -> tuple[list[Path], Path]:
        """The files that the image is built of, and the folder that their names count from."""
        assert self.dockerfile is not None
        if self.folder is not None:
            return [self.folder], self.folder
        text = read_dockerfile(self.dockerfile)
        return [self.dockerfile, *copied_files(text)], paths.project()


def zoo() -> list[ZooModel]:
    """All models whose card can be read, by name."""
    return [model for model in map(_try, _definitions().values()) if isinstance(model, ZooModel)]


def broken_models() -> dict[str, str]:
    """Models whose card cannot be read: name -> reason."""
    results = {name: _try(path) for name, path in _definitions().items()}
    return {name: result for name, result in results.items() if isinstance(result, str)}


def find_model(name: str) -> ZooModel:
    """The model of this name.

    Raises:
        UnknownNameError: there is no such model; the message suggests similar names.
        ManifestError: its labels are wrong.
    """
    files = _definitions()
    if name not in files:
        raise UnknownNameError("model", name, files)
    return _read(files[name])


def local_digest(model: ZooModel) -> str:
    """Identity of a model that runs without an image: a hash of its files and of the SDK."""
    root = paths.project()
    assert model.dockerfile is not None
    sdk = root / "models" / "sdk" / "zoo_sdk"
    if model.folder is not None:
        hashes = hash_files([model.folder], model.folder) + hash_files([sdk], root)
        return "files:" + hashlib.sha256(hashes.encode()).hexdigest()
    copied = copied_files(read_dockerfile(model.dockerfile))
    folders = [root / "models" / model.name, sdk]
    return "files:" + hash_files([model.dockerfile, *folders, *copied], root)


def copied_files(text: str) -> list[Path]:
    """The project's files and folders that a Dockerfile copies, sorted, without bundle files."""
    root = paths.project()
    return sorted(
        set(chain.from_iterable(root.glob(path.strip("/")) for path in copied_paths(text)))
    )


def hash_files(paths: Iterable[Path], root: Path) -> str:
    """sha256 over names and contents of files, and of all files in folders.

    A missing file enters the hash as absent.

    Raises:
        ManifestError: something is neither a file nor a folder, such as a device or a pipe.
    """
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if {"__pycache__", ".git"} & set(file.parts) or file.is_dir():
                continue
            digest.update(f"{file.relative_to(root)}\0".encode())
            digest.update(_content_sha256(file))
    return digest.hexdigest()


def _content_sha256(file: Path) -> bytes:
    """The hash of a file's content; ``absent`` if there is none."""
    if not file.exists():
        return b"absent"
    if not stat.S_ISREG(file.stat().st_mode):
        raise ManifestError(f"{file} is not a regular file, so it cannot be copied into an image")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _dockerfiles() -> list[Path]:
    files = sorted((paths.project() / "dockerfiles").glob(f"*{SUFFIX}"))
    return [path for path in files if path.name.removesuffix(SUFFIX) not in BASES]


def _definitions() -> dict[str, Path]:
    """Name -> Dockerfile, or definition file of a registered image; the checkout's win."""
    files = {path.stem: path for path in definition_files()}
    files |= {path.parent.name: path for path in folder_dockerfiles()}
    files |= {path.name.removesuffix(SUFFIX): path for path in _dockerfiles()}
    return dict(sorted(files.items()))


def _try(path: Path) -> ZooModel | str:
    try:
        return _read(path)
    except UserError as error:
        return str(error)


def _read(path: Path) -> ZooModel:
    if path.suffix == ".toml":
        image, card = read_definition(path)
        return ZooModel(name=path.stem, dockerfile=None, adapter=None, card=card, image=image)
    if path.name == DOCKERFILE:
        return _read_folder(path)
    name = path.name.removesuffix(SUFFIX)
    text = read_dockerfile(path)
    card = parse_card(dockerfile_labels(text), f"dockerfiles/{path.name}")
    folders = module_folders(text)
    if card.name != name:
        raise ManifestError(
            f"dockerfiles/{path.name}: label umd.name is {card.name!r}; "
            f"it must be the file's, {name!r}"
        )
    adapter = paths.project() / "models" / name / "adapter.py"
    return ZooModel(
        name=name,
        dockerfile=path,
        adapter=adapter if adapter.is_file() else None,
        card=card,
        modules=tuple(paths.project() / "models" / folder for folder in folders if folder != name),
    )


def _read_folder(path: Path) -> ZooModel:
    """A model of the user with a Dockerfile."""
    adapter = path.parent / "adapter.py"
    card = folder_card(path)
    return ZooModel(
        name=path.parent.name,
        dockerfile=path,
        adapter=adapter if adapter.is_file() and card.contract == "1" else None,
        card=card,
        folder=path.parent,
    )
