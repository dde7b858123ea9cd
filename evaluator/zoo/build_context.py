"""The build context of a model's image: ``models/`` as it is, and ``parts/``, what a bundle brings.

    parts/packages/   the wheels of the model's lock, installed
    parts/upstream/   upstream sources at their commits, each in its own folder
    parts/weights/    for /opt/ml/model: auxiliary downloads, and the weights where they are baked in

All three are there for every model, so that a Dockerfile may copy them whether or not they hold anything.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import HostError, ModelPartsError
from evaluator.zoo.wheels import unpack_wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.zoo.bundles import Bundle
    from evaluator.zoo.weights import Weights

PARTS = ("packages", "upstream", "weights")


@contextmanager
def build_context(dockerfile: Path, bundle: Bundle | None, weights: Weights) -> Iterator[Path]:
    """A temporary folder with the Dockerfile, ``models/`` and ``parts/``.

    Raises ModelPartsError for what lacks or is wrong, HostError where the disk takes no more.
    """
    cache = paths.cache() / "build"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = Path(temporary)
        try:
            _lay_out(folder, dockerfile, bundle, weights)
        except OSError as error:
            # copying a tree gathers its failures: (from, to, why)
            why = error.strerror or (
                error.args[0][-1][-1] if isinstance(error, shutil.Error) else error
            )
            raise HostError(
                f"the parts of the image could not be laid out in {cache}: {why}. Free some space there, or name another "
                "folder with UMD_CACHE, and run again"
            ) from error
        yield folder


def _lay_out(folder: Path, dockerfile: Path, bundle: Bundle | None, weights: Weights) -> None:
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
    wanted = [
        *bundle.sources.auxiliary,
        *(bundle.sources.weights if weights.kind == "published" else ()),
    ]
    for one in wanted:
        _link(bundle.weights / one.into, parts / "weights" / one.into)


def _unpack_source(archive: Path, into: Path) -> None:
    """A forge's archive has one folder at its top, which is left out."""
    try:
        with tarfile.open(archive) as content:
            for member in content.getmembers():
                inside = Path(*Path(member.name).parts[1:])
                if inside.parts:
                    content.extract(
                        member.replace(name=str(inside), deep=False), into, filter="data"
                    )
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ModelPartsError(
            f"{archive} cannot be unpacked: {error}; remove it and fetch again"
        ) from None


def _link(source: Path, to: Path) -> None:
    """A file or folder at a second place, without copying where the disk allows."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy(one, other)

    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, copy_function=link)
    else:
        link(str(source), str(to))
