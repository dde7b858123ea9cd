"""The build context of a model's image: ``models/`` and, from a bundle, ``parts/``.

    parts/packages/   the wheels of the model's lock, installed
    parts/upstream/   upstream sources at their commits, each in its own folder
    parts/weights/    for /opt/ml/model: auxiliary downloads, and the weights if they are baked in

All three exist for every model, so a Dockerfile can copy them even if they are empty.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import HostError, ModelFilesError
from evaluator.files import DAMAGED_TAR
from evaluator.zoo.preflight.weight_files import require_right_files
from evaluator.zoo.wheels import unpack_wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.zoo.bundles import Bundle
    from evaluator.zoo.weights import Weights

PARTS = ("packages", "upstream", "weights")


@contextmanager
def build_context(dockerfile: Path, bundle: Bundle | None, weights: Weights) -> Iterator[Path]:
    """A temporary folder with the Dockerfile, ``models/`` and ``parts/``.

    Raises:
        ModelFilesError: a file of the bundle is missing or was changed.
        HostError: the disk is full or the folder cannot be written.
    """
    cache = paths.cache() / "build"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = Path(temporary)
        try:
            _write_context(folder, dockerfile, bundle, weights)
        except OSError as error:
            reason: object = error.strerror or error
            if isinstance(error, shutil.Error):
                # copying a tree collects its failures: (source, destination, reason)
                reason = error.args[0][-1][-1]
            raise HostError(
                f"the build context could not be written in {cache}: {reason}. "
                "Free some space there, or choose another folder with UMD_CACHE, and run again"
            ) from error
        yield folder


def _write_context(folder: Path, dockerfile: Path, bundle: Bundle | None, weights: Weights) -> None:
    shutil.copytree(
        paths.project() / "models",
        folder / "models",
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
    )
    shutil.copy(dockerfile, folder / "Dockerfile")
    for part in PARTS:
        (folder / "parts" / part).mkdir(parents=True)
    if bundle is not None:
        _fill(folder / "parts", bundle, weights)


def _fill(parts: Path, bundle: Bundle, weights: Weights) -> None:
    if bundle.sources.packages:
        unpack_wheels(bundle.wheel_files(), bundle.image, parts / "packages")
    for source in bundle.sources.upstream:
        _unpack_source(bundle.upstream_file(source), parts / "upstream" / source.into)
    bundle.weight_hashes(weights.parts)
    downloads = bundle.sources.auxiliary
    if weights.kind == "published":
        require_right_files(bundle.model, bundle.sources, bundle.weights)
        downloads += bundle.sources.weights
    for download in downloads:
        _link(bundle.weights / download.into, parts / "weights" / download.into)


def _unpack_source(archive: Path, into: Path) -> None:
    """Unpack the archive of a commit without its single top folder."""
    try:
        with tarfile.open(archive) as content:
            for member in content.getmembers():
                name = Path(*Path(member.name).parts[1:])
                if name.parts:
                    content.extract(member.replace(name=str(name), deep=False), into, filter="data")
    except (*DAMAGED_TAR, gzip.BadGzipFile) as error:
        raise ModelFilesError(
            f"{archive} cannot be unpacked: {error}; remove it and fetch again"
        ) from None


def _link(source: Path, to: Path) -> None:
    """Make a file or folder available at a second path, by hard links where the disk allows."""

    def link(file: str, path: str) -> None:
        try:
            os.link(file, path)
        except OSError:
            shutil.copy(file, path)

    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, copy_function=link)
    else:
        link(str(source), str(to))
