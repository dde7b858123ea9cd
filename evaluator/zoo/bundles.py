"""A bundle: everything that goes into a model's image, fetched on one machine so that another can build without a network.

    BUNDLE/<model>/
      bundle.json               every file's sha256 and size, where it came from, and whether that hash was stated before
      wheels/<flavour>-<machine>/*.whl
      upstream/<source>.tar.gz
      weights/                  laid out as under /opt/ml/model, so that ``umd run --weights`` takes the folder itself

A file is recorded when it is whole, so that a fetch that was stopped goes on. What nobody had stated a hash for is
trusted once: the next time it must be the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from evaluator.errors import ModelPartsError
from evaluator.files import read_json, write_json
from evaluator.zoo.archives import check_unpacked, unpack
from evaluator.zoo.build_lock import build_lock
from evaluator.zoo.download import download, file_sha256
from evaluator.zoo.sources import HUB, UNVERIFIED, Sources, lock_path
from evaluator.zoo.wheels import ImagePlatform, collect_wheels

if TYPE_CHECKING:
    from collections.abc import Collection

    from evaluator.zoo.download import Progress
    from evaluator.zoo.sources import Download, Upstream

logger = logging.getLogger(__name__)

#: in which a hub tells the commit that a revision such as "main" stands for
COMMIT = "X-Repo-Commit"
Part = Literal["packages", "upstream", "auxiliary", "weights"]
PARTS: tuple[Part, ...] = ("packages", "upstream", "auxiliary", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One model's folder in a bundle, and what its parts are to be."""

    model: str
    root: Path
    sources: Sources
    image: ImagePlatform

    @property
    def folder(self) -> Path:
        """Where this model's files are."""
        return self.root / self.model

    @property
    def weights(self) -> Path:
        """What is to be at /opt/ml/model."""
        return self.folder / "weights"

    @property
    def wheels(self) -> Path:
        """The wheels for this bundle's kind of image."""
        return self.folder / "wheels" / self.image.name

    def record(self) -> dict[str, dict[str, object]]:
        """Path in the folder -> what is known of the file."""
        path = self.folder / "bundle.json"
        return dict(read_json(path)["files"]) if path.exists() else {}

    def note(self, files: dict[str, dict[str, object]]) -> None:
        """Record files that are whole."""
        write_json(
            self.folder / "bundle.json", {"model": self.model, "files": self.record() | files}
        )

    def wheel_files(self) -> list[Path]:
        """The wheels of the lock as it is now; raises ModelPartsError unless all are there as they were fetched."""
        key = f"wheels/{self.image.name}"
        known = self.record().get(key)
        if known is None or known["lock"] != self.lock_sha256:
            raise ModelPartsError(self._lacking("Python packages", key))
        files = dict(known["files"])  # type: ignore[call-overload]
        for name, sha256 in files.items():
            self._expect(self.wheels / name, sha256)
        return [self.wheels / name for name in sorted(files)]

    def upstream_file(self, source: Upstream) -> Path:
        """An upstream archive, checked."""
        return self._checked(f"upstream/{source.file}", source.sha256)

    def weight_hashes(self, parts: Collection[Part]) -> dict[str, str]:
        """sha256 of every download of these parts by its place under /opt/ml/model, checked against pins and record."""
        return {
            one.into: self._checked_weight(one) for part in parts for one in self.downloads(part)
        }

    def known_hashes(self, parts: Collection[Part]) -> dict[str, str]:
        """As ``weight_hashes``, but what is pinned or was recorded, without a look at the files; empty where unknown."""
        record = self.record()
        known = {}
        for one in (one for part in parts for one in self.downloads(part)):
            key = (
                f"archives/{one.into.replace('/', '-')}.zip"
                if one.unpack
                else f"weights/{one.into}"
            )
            known[one.into] = (
                one.sha256
                if one.sha256 != UNVERIFIED
                else str(record.get(key, {}).get("sha256", ""))
            )
        return known

    @property
    def lock(self) -> Path | None:
        """The lock file of the model's packages."""
        return lock_path(self.sources.packages) if self.sources.packages else None

    @property
    def lock_sha256(self) -> str:
        """Of the lock file."""
        return file_sha256(self.lock) if self.lock else ""

    def downloads(self, part: Part) -> tuple[Download, ...]:
        """The files of one part that are downloaded."""
        if part == "weights":
            return self.sources.weights
        return self.sources.auxiliary if part == "auxiliary" else ()

    def _checked_weight(self, one: Download) -> str:
        if one.unpack:
            return check_unpacked(self.weights / one.into, one)
        return file_sha256(self._checked(f"weights/{one.into}", one.sha256))

    def _checked(self, key: str, stated: str) -> Path:
        """A file by its recorded hash, which must be the stated one where there is one."""
        known = self.record().get(key)
        if known is None:
            raise ModelPartsError(self._lacking(key, key))
        if stated not in (UNVERIFIED, known["sha256"]):
            raise ModelPartsError(
                f"{self.folder / key} is of another version than sources.toml says now; fetch again"
            )
        self._expect(self.folder / key, str(known["sha256"]))
        return self.folder / key

    def _expect(self, path: Path, sha256: str) -> None:
        if not path.is_file():
            raise ModelPartsError(self._lacking(path.name, str(path)))
        if (found := file_sha256(path)) != sha256:
            raise ModelPartsError(
                f"{path} was changed: sha256 {found}, recorded {sha256}. Remove it and fetch again"
            )

    def _lacking(self, what: str, where: str) -> str:
        return (
            f"the bundle {self.root} has no {what} of {self.model} for {self.image.name} ({where}). On a machine with a "
            f"network: umd models fetch {self.model} --into BUNDLE --flavour {self.image.flavour}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """How to fetch: which licences the user accepted, and whom to tell."""

    accepted: frozenset[str] = frozenset()
    progress: Progress = lambda *_: None


def fetch(bundle: Bundle, how: Fetch, parts: Collection[Part] = PARTS) -> None:
    """Bring the parts that the bundle lacks. Raises ModelPartsError, HostError; what came is kept, and gone on from."""
    check_licences(bundle, how, parts)
    with build_lock(bundle.folder / ".lock", f"fetches {bundle.model} into {bundle.root}"):
        _fetch_parts(bundle, how, parts)


def _fetch_parts(bundle: Bundle, how: Fetch, parts: Collection[Part]) -> None:
    if "packages" in parts:
        _fetch_packages(bundle)
    if "upstream" in parts:
        for source in bundle.sources.upstream:
            _fetch_file(
                bundle,
                how,
                f"upstream/{source.file}",
                source.url,
                source.sha256,
                None,
                source.license,
            )
    for part in parts:
        for one in bundle.downloads(part):
            if one.unpack:
                _fetch_archive(bundle, how, one)
            else:
                _fetch_file(
                    bundle,
                    how,
                    f"weights/{one.into}",
                    one.address,
                    one.sha256,
                    one.bytes,
                    one.license,
                )


def check_licences(bundle: Bundle, how: Fetch, parts: Collection[Part]) -> None:
    """Tell the licences; raises ModelPartsError naming those that do not clearly allow every use and were not accepted."""
    covered = [
        (one.license, one.into, one.commercial) for part in parts for one in bundle.downloads(part)
    ]
    if "upstream" in parts:
        covered += [
            (source.license, source.git, source.commercial) for source in bundle.sources.upstream
        ]
    refused = []
    for license_, what, commercial in covered:
        allows = {
            "yes": "commercial use allowed",
            "no": "NON-COMMERCIAL",
            "not stated": "commercial use NOT STATED",
        }[commercial]
        logger.info(f"licence of {what}: {license_} ({allows})")
        if commercial != "yes" and license_ not in how.accepted:
            refused.append((license_, what))
    if refused:
        flags = " ".join(sorted({f"--accept-licence {license_}" for license_, _ in refused}))
        told = "; ".join(f"{what}: {license_}" for license_, what in refused)
        raise ModelPartsError(
            f"{bundle.model} has parts that may not be used for everything ({told}). If you may: {flags}"
        )


def _fetch_packages(bundle: Bundle) -> None:
    if bundle.sources.packages is None or bundle.lock is None:
        return
    try:
        bundle.wheel_files()
    except ModelPartsError:
        logger.info(f"collecting the Python packages of {bundle.model} for {bundle.image.name}")
    else:
        return
    bundle.wheels.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bundle.wheels.parent) as temporary:
        made = collect_wheels(
            bundle.lock, bundle.sources.packages.build, bundle.image, Path(temporary)
        )
        files = {wheel.name: file_sha256(wheel) for wheel in made}
        shutil.rmtree(bundle.wheels, ignore_errors=True)
        bundle.wheels.mkdir()
        for wheel in made:
            wheel.replace(bundle.wheels / wheel.name)
    bundle.note(
        {
            f"wheels/{bundle.image.name}": {
                "lock": bundle.lock_sha256,
                "files": files,
                "fetched": _now(),
            }
        }
    )


def _fetch_file(
    bundle: Bundle, how: Fetch, key: str, address: str, stated: str, size: int | None, license_: str
) -> None:
    path, known = bundle.folder / key, bundle.record().get(key)
    wanted = None if stated == UNVERIFIED else stated
    if (
        known
        and path.is_file()
        and file_sha256(path) == known["sha256"]
        and wanted in (None, known["sha256"])
    ):
        return
    trusted = str(known["sha256"]) if known and wanted is None else wanted
    commit: dict[str, str] = {}
    if known is None and path.is_file():
        logger.info(f"{key} was put here by hand; taken as it is")
        origin, found = "put here by hand", file_sha256(path)
        if trusted not in (None, found):
            raise ModelPartsError(
                f"{path} was put here by hand and has sha256 {found}, not {trusted}: remove it"
            )
    else:
        logger.info(f"fetching {address}")
        found = download(
            address,
            path,
            sha256=trusted,
            size=size,
            headers=_credentials(address),
            progress=how.progress,
            heard=lambda headers: commit.update(
                {"commit": headers[COMMIT]} if COMMIT in headers else {}
            ),
        )
        origin = address
    trust = "stated in sources.toml" if wanted else "UNVERIFIED, trusted on first use"
    entry = {
        "sha256": found,
        "bytes": path.stat().st_size,
        "from": origin,
        "license": license_,
        "hash": trust,
    }
    bundle.note({key: entry | commit | {"fetched": _now()}})
    if wanted is None:
        at = f", at the hub's commit {commit['commit']}" if commit else ""
        logger.info(
            f"UNVERIFIED: nobody has stated a sha256 for {key}. What came has {found}{at}. It is recorded and trusted from now on; "
            "compare it with what the authors tell you before you rely on it"
        )


def _fetch_archive(bundle: Bundle, how: Fetch, one: Download) -> None:
    """An archive is unpacked beside its place, then put there; the archive itself is not kept."""
    folder = bundle.weights / one.into
    try:
        check_unpacked(folder, one)
    except ModelPartsError:
        key = f"archives/{one.into.replace('/', '-')}.zip"
        _fetch_file(bundle, how, key, one.address, one.sha256, one.bytes, one.license)
        archive = bundle.folder / key
        unpack(archive, folder)
        archive.unlink()


def _credentials(address: str) -> dict[str, str]:
    """The user's token, for the hub alone."""
    token = os.environ.get("HF_TOKEN", "").strip()
    hub = urlsplit(os.environ.get("HF_ENDPOINT") or HUB).netloc
    return {"Authorization": f"Bearer {token}"} if token and urlsplit(address).netloc == hub else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def identity_of(hashes: dict[str, str]) -> str:
    """One hash over files by name; empty for none."""
    body = json.dumps(dict(sorted(hashes.items())))
    return hashlib.sha256(body.encode()).hexdigest() if hashes else ""
