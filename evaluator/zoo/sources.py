"""``models/<model>/sources.toml``: origin, version, hash and licence of all contents of an image.

Base image, Python packages (a lock file with hashes), upstream source at a commit, weights, and
auxiliary downloads such as tokenisers. A file without a published hash is marked
``sha256 = "unverified"``: the first download is accepted with a warning, then pinned to its hash
(``evaluator.zoo.fetching``).
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator import paths
from evaluator.errors import ManifestError

UNVERIFIED = "unverified"
HUB = "https://huggingface.co"
#: packages of the base image; a model's lock with one of them would replace the CUDA build
BASE_PACKAGES = re.compile(r"^(torch|triton|nvidia-[a-z0-9-]+)$")


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or str(path) in ("", "."):
        raise ValueError("must be a relative path that stays inside its folder")
    return str(path)


Sha256 = Annotated[str, Field(pattern=rf"^([0-9a-f]{{64}}|{UNVERIFIED})$")]
Inside = Annotated[str, AfterValidator(_inside)]
Commercial = Literal["yes", "no", "not stated"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Code(_Table):
    """Origin and licence of the adapter."""

    origin: str = Field(min_length=1)
    license: str = Field(min_length=1)


class Packages(_Table):
    """Python packages in addition to those of the base image."""

    #: requirements with hashes, dependencies included; a path under models/, so models can share
    #: a lock
    lock: Inside
    #: packages of the lock that their index offers as source only: pure Python, built to a wheel
    #: when fetched
    build: tuple[str, ...] = ()


class Upstream(_Table):
    """Upstream source code without a package, at a commit; copied to ``/opt/model/<into>``."""

    git: str = Field(pattern=r"^https://")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    #: hash of the archive that the forge makes of the commit
    sha256: Sha256
    into: Inside
    license: str = Field(min_length=1)
    commercial: Commercial

    @property
    def url(self) -> str:
        """Address of the archive of the commit, as GitHub and GitLab offer it."""
        return f"{self.git.removesuffix('.git')}/archive/{self.commit}.tar.gz"

    @property
    def file(self) -> str:
        """Name of the archive in a bundle."""
        return f"{self.into.replace('/', '-')}-{self.commit[:12]}.tar.gz"


class Download(_Table):
    """A file of weights or an auxiliary file, on a model hub at a revision or at an address."""

    #: path under /opt/ml/model; for an archive that is unpacked, the folder
    into: Inside
    #: repository on the hub, and the file there at the revision; "main" is pinned by the hash alone
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None = None
    path: Inside | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    #: a package of the lock whose wheel contains the file at ``path``
    package: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$")
    sha256: Sha256
    bytes: int | None = Field(default=None, ge=1)
    #: true for a zip archive that must be unpacked for the model
    unpack: bool = False
    license: str = Field(min_length=1)
    #: whether commercial use is allowed; the user must accept every licence that is not "yes"
    commercial: Commercial

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        fields = {
            name for name in ("hub", "revision", "path", "url", "package") if getattr(self, name)
        }
        if fields not in ({"hub", "revision", "path"}, {"url"}, {"package", "path"}):
            raise ValueError("give either hub, revision and path, or url, or package and path")
        return self

    @property
    def address(self) -> str:
        """The URL; ``HF_ENDPOINT`` names another hub with the same content (a mirror).

        For a file in a wheel, the package and the path in it.
        """
        if self.package is not None:
            return f"{self.package}: {self.path}"
        if self.url is not None:
            return self.url
        hub = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        return f"{hub}/{self.hub}/resolve/{self.revision}/{self.path}"


class Sources(_Table):
    """All sources of one image.

    ``weights`` is empty for a model without weights, or if users must supply them.
    """

    code: Code
    #: the base image; it is pinned in ``dockerfiles/<base>.Dockerfile``
    base: Literal["umd/base", "umd/torch"]
    packages: Packages | None = None
    upstream: tuple[Upstream, ...] = ()
    weights: tuple[Download, ...] = ()
    #: tokenisers, text encoders: needed with any choice of weights
    auxiliary: tuple[Download, ...] = ()
    #: if no weights are published: a description of the folder that users must supply, shown to
    #: those who have not supplied it
    brought: str = ""

    @property
    def has_weights(self) -> bool:
        """True if the model has weights, published or supplied by the user."""
        return bool(self.weights or self.brought)

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        destinations = [download.into for download in (*self.weights, *self.auxiliary)]
        if self.brought and self.weights:
            raise ValueError("weights are either published or supplied by the user, not both")
        if duplicates := {into for into in destinations if destinations.count(into) > 1}:
            raise ValueError(f"two files have the path {', '.join(sorted(duplicates))}")
        return self


def sources_path(model: str) -> Path:
    """Path of a model's sources.toml."""
    return paths.project() / "models" / model / "sources.toml"


def lock_path(packages: Packages) -> Path:
    """Path of the lock file of these packages."""
    return paths.project() / "models" / packages.lock


def read_sources(model: str) -> Sources | None:
    """The sources of a model; None if it has no sources.toml.

    Raises:
        ManifestError: the file or its lock is wrong; the message names file and field.
    """
    path = sources_path(model)
    if not path.exists():
        return None
    try:
        sources = Sources.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ManifestError("\n  ".join([f"{path}:", *faults])) from None
    names: set[str] = set()
    if sources.packages:
        names = _check_lock(lock_path(sources.packages), sources.packages)
    for download in (*sources.weights, *sources.auxiliary):
        if download.package and normal_name(download.package) not in names:
            raise ManifestError(f"{path}: {download.into}: the lock has no {download.package}")
    return sources


def locked(lock: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The packages of a lock file: normalised name -> (requirement, its sha256s).

    Raises:
        ManifestError: the file cannot be read, or a line has no hash.
    """
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{lock}: cannot be read ({error.strerror})") from None
    packages = {}
    for line in re.sub(r"\\\s*\n", " ", text).splitlines():
        entry = line.split(" #")[0].strip()
        if not entry or entry.startswith("#"):
            continue
        requirement, *rest = entry.split()
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", " ".join(rest)))
        match = re.match(r"^([A-Za-z0-9._-]+)==[^ ;]+$", requirement)
        if not match or not hashes:
            raise ManifestError(
                f"{lock}: every line must be name==version with --hash=sha256:...; "
                f"this one is not: {entry[:80]}"
            )
        packages[normal_name(match[1])] = (requirement, hashes)
    return packages


def normal_name(name: str) -> str:
    """The name of a package in the normal form of package indexes."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_lock(lock: Path, packages: Packages) -> set[str]:
    """The packages of a lock; raises ManifestError for one that the lock must not have."""
    names = locked(lock)
    if duplicates := sorted(name for name in names if BASE_PACKAGES.match(name)):
        raise ManifestError(
            f"{lock}: {', '.join(duplicates)} is part of the base image; remove it from the lock"
        )
    if unknown := sorted({normal_name(name) for name in packages.build} - names.keys()):
        raise ManifestError(
            f"{lock}: packages.build lists {', '.join(unknown)}, which the lock does not contain"
        )
    return set(names)
