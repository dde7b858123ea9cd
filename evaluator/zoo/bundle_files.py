"""The files that a bundle needs, so that they can be carried by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.zoo.bundles import PARTS, download_key
from evaluator.zoo.sources import UNVERIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.zoo.bundles import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file of a bundle."""

    #: where the file belongs
    path: Path
    present: bool
    address: str
    #: in hexadecimal; empty if nobody has published one
    sha256: str
    #: None if it is not known
    bytes: int | None
    license: str


def bundle_files(bundle: Bundle) -> Iterator[BundleFile]:
    """Every file that ``umd models fetch`` downloads by its address: sources, then weights.

    Python packages are not among them; pip collects them by the model's lock.
    """
    for source in bundle.sources.upstream:
        path = bundle.folder / f"upstream/{source.file}"
        yield BundleFile(
            path=path,
            present=path.is_file(),
            address=source.url,
            sha256="" if source.sha256 == UNVERIFIED else source.sha256,
            bytes=None,
            license=source.license,
        )
    for part in PARTS:
        for download in bundle.downloads(part):
            path = bundle.folder / download_key(download)
            unpacked = bundle.weights / download.into
            yield BundleFile(
                path=path,
                present=path.is_file() or (bool(download.unpack) and unpacked.is_dir()),
                address=download.address,
                sha256="" if download.sha256 == UNVERIFIED else download.sha256,
                bytes=download.bytes,
                license=download.license,
            )
