"""A bundle: all files of a model's image, fetched on one machine to build on another offline.

    BUNDLE/<model>/
      bundle.json               sha256, size and origin of every file, and whether its hash was
                                published
      wheels/<flavour>-<machine>/*.whl
      upstream/<source>.tar.gz
      weights/                  same layout as /opt/ml/model; ``umd run --weights`` accepts it

A file is recorded once it is complete, so an interrupted fetch resumes. A file without a published
hash is trusted once: after that, it must have the recorded hash.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256, read_json, write_json
from evaluator.zoo.archives import check_unpacked
from evaluator.zoo.sources import UNVERIFIED, Sources, lock_path

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from evaluator.zoo.sources import Download, Upstream
    from evaluator.zoo.wheels import ImagePlatform

Part = Literal["packages", "upstream", "auxiliary", "weights"]
PARTS: tuple[Part, ...] = ("packages", "upstream", "auxiliary", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One model's folder in a bundle, and the files that belong into it."""

    model: str
    #: folder of the bundle, which can contain several models
    root: Path
    sources: Sources
    image: ImagePlatform

    @property
    def folder(self) -> Path:
        """The folder of this model."""
        return self.root / self.model

    @property
    def weights(self) -> Path:
        """The folder with the contents of /opt/ml/model."""
        return self.folder / "weights"

    @property
    def wheels(self) -> Path:
        """The folder of wheels for this bundle's platform."""
        return self.folder / "wheels" / self.image.name

    def record(self) -> dict[str, dict[str, object]]:
        """The record of all complete files: path in the folder -> properties."""
        path = self.folder / "bundle.json"
        return dict(read_json(path)["files"]) if path.exists() else {}

    def note(self, files: dict[str, dict[str, object]]) -> None:
        """Add complete files to the record."""
        write_json(
            self.folder / "bundle.json", {"model": self.model, "files": self.record() | files}
        )

    def wheel_files(self) -> list[Path]:
        """The wheels of the present lock.

        Raises:
            ModelFilesError: a wheel is missing or was changed, or the lock is a different one.
        """
        key = f"wheels/{self.image.name}"
        entry = self.record().get(key)
        if entry is None or entry["lock"] != self.lock_sha256:
            raise ModelFilesError(self._missing_message("Python packages", key))
        files = dict(entry["files"])  # type: ignore[call-overload]
        for name, sha256 in files.items():
            self._check_file(self.wheels / name, sha256)
        return [self.wheels / name for name in sorted(files)]

    def upstream_file(self, source: Upstream) -> Path:
        """The archive of an upstream source, after a check of its hash."""
        return self._checked(f"upstream/{source.file}", source.sha256)

    def weight_hashes(self, parts: Collection[Part]) -> dict[str, str]:
        """Check the downloads of these parts against pins and record.

        Returns:
            sha256 of each download by its path under /opt/ml/model.

        Raises:
            ModelFilesError: a file is missing or was changed.
        """
        return {
            download.into: self._checked_download(download)
            for download in self._downloads_of(parts)
        }

    def known_hashes(self, parts: Collection[Part]) -> dict[str, str]:
        """Like ``weight_hashes``, but from pins and record without reading the files.

        A hash that is neither pinned nor recorded is empty.
        """
        record = self.record()
        hashes = {}
        for download in self._downloads_of(parts):
            if download.sha256 != UNVERIFIED:
                hashes[download.into] = download.sha256
            else:
                entry = record.get(download_key(download), {})
                hashes[download.into] = str(entry.get("sha256", ""))
        return hashes

    def missing(self, parts: Collection[Part]) -> list[str]:
        """What the bundle lacks of these parts, by its record and files; hashes are not checked."""
        record = self.record()
        missing = []
        if self.sources.packages:
            entry = record.get(f"wheels/{self.image.name}")
            if entry is None or entry["lock"] != self.lock_sha256:
                missing.append(f"Python packages for {self.image.name}")
        for source in self.sources.upstream:
            if not (self.folder / f"upstream/{source.file}").is_file():
                missing.append(f"upstream/{source.file}")
        for download in self._downloads_of(parts):
            if not (self.weights / download.into).exists():
                missing.append(f"weights/{download.into}")
        return missing

    @property
    def lock(self) -> Path | None:
        """The lock file of the model's packages."""
        return lock_path(self.sources.packages) if self.sources.packages else None

    @property
    def lock_sha256(self) -> str:
        """The hash of the lock file; empty if there is none."""
        return file_sha256(self.lock) if self.lock else ""

    def downloads(self, part: Part) -> tuple[Download, ...]:
        """The downloaded files of one part."""
        if part == "weights":
            return self.sources.weights
        return self.sources.auxiliary if part == "auxiliary" else ()

    def _downloads_of(self, parts: Collection[Part]) -> list[Download]:
        downloads: list[Download] = []
        for part in parts:
            downloads += self.downloads(part)
        return downloads

    def _checked_download(self, download: Download) -> str:
        if download.unpack:
            return check_unpacked(self.weights / download.into, download)
        return file_sha256(self._checked(f"weights/{download.into}", download.sha256))

    def _checked(self, key: str, pinned: str) -> Path:
        """The file of a record entry, if it has the recorded and the pinned hash."""
        entry = self.record().get(key)
        if entry is None:
            raise ModelFilesError(self._missing_message(key, key))
        if pinned not in (UNVERIFIED, entry["sha256"]):
            raise ModelFilesError(
                f"{self.folder / key} is not the version that sources.toml pins now; fetch again"
            )
        self._check_file(self.folder / key, str(entry["sha256"]))
        return self.folder / key

    def _check_file(self, path: Path, sha256: str) -> None:
        if not path.is_file():
            raise ModelFilesError(self._missing_message(path.name, str(path)))
        if (actual := file_sha256(path)) != sha256:
            raise ModelFilesError(
                f"{path} was changed: sha256 {actual}, recorded {sha256}. Remove it and fetch again"
            )

    def _missing_message(self, what: str, where: str) -> str:
        return (
            f"the bundle {self.root} has no {what} of {self.model} for {self.image.name} "
            f"({where}). On a machine with a network: umd models fetch {self.model} --into BUNDLE "
            f"--flavour {self.image.flavour}"
        )


def download_key(download: Download) -> str:
    """The key of a download in the record: its path in the model's folder when fetched."""
    if download.unpack:
        return f"archives/{download.into.replace('/', '-')}.zip"
    return f"weights/{download.into}"


def identity_of(hashes: dict[str, str]) -> str:
    """One hash over files by name; empty if there are no files."""
    body = json.dumps(dict(sorted(hashes.items())))
    return hashlib.sha256(body.encode()).hexdigest() if hashes else ""
