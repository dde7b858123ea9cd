"""``models/<model>/sources.toml``: where everything in a model's image comes from, pinned, hashed and licensed.

Base image, Python packages (a hashed lock), upstream source at its commit, weights, and auxiliary downloads such as
tokenisers. What nobody has stated a hash for says ``sha256 = "unverified"``: it is trusted when it is first fetched,
loudly, and what came is recorded (``evaluator.zoo.bundles``).
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
#: the base image brings these; a model's lock that named them would replace the CUDA build by another
OF_THE_BASE = re.compile(r"^(torch|triton|nvidia-[a-z0-9-]+)$")


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
    """Whose adapter it is, and its licence."""

    origin: str = Field(min_length=1)
    license: str = Field(min_length=1)


class Packages(_Table):
    """Python packages beside those of the base image."""

    #: requirements with hashes, without dependencies to be resolved; a path under models/, so that models may share one
    lock: Inside
    #: packages of the lock that their index has as source only: pure Python, built to a wheel when fetched
    build: tuple[str, ...] = ()


class Upstream(_Table):
    """Somebody's source at a commit, which has no package; lies at ``/opt/model/<into>``."""

    git: str = Field(pattern=r"^https://")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    #: of the archive that the forge makes of the commit
    sha256: Sha256
    into: Inside
    license: str = Field(min_length=1)
    commercial: Commercial

    @property
    def url(self) -> str:
        """The forge's archive of the commit (GitHub's and GitLab's address)."""
        return f"{self.git.removesuffix('.git')}/archive/{self.commit}.tar.gz"

    @property
    def file(self) -> str:
        """Name of the archive in a bundle."""
        return f"{self.into.replace('/', '-')}-{self.commit[:12]}.tar.gz"


class Download(_Table):
    """A file of weights or an auxiliary one: on a hub of models at a revision, or at an address."""

    #: where it lies under /opt/ml/model; of an archive that is unpacked, the folder
    into: Inside
    #: repository on the hub, and the file there at the revision; "main" is pinned by the hash alone
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None = None
    path: Inside | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    sha256: Sha256
    bytes: int | None = Field(default=None, ge=1)
    #: a zip archive whose content is what the model reads
    unpack: bool = False
    license: str = Field(min_length=1)
    #: may it be used for pay; what does not say "yes" must be accepted by the user
    commercial: Commercial

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        on_hub = self.hub is not None and self.revision is not None and self.path is not None
        if on_hub == (self.url is not None) or (
            self.url is not None and (self.hub or self.revision or self.path)
        ):
            raise ValueError(
                "says where it is by hub, revision and path, or by url; by one of the two"
            )
        return self

    @property
    def address(self) -> str:
        """What is fetched; ``HF_ENDPOINT`` names another hub with the same content (a mirror)."""
        if self.url is not None:
            return self.url
        hub = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        return f"{hub}/{self.hub}/resolve/{self.revision}/{self.path}"


class Sources(_Table):
    """All parts of one image. ``weights`` is empty for a model that has none, or whose weights each user brings."""

    code: Code
    #: image that it is built on; its own pin is in ``dockerfiles/<base>.Dockerfile``
    base: Literal["umd/base", "umd/torch"]
    packages: Packages | None = None
    upstream: tuple[Upstream, ...] = ()
    weights: tuple[Download, ...] = ()
    #: tokenisers, text towers: needed however the weights come about
    auxiliary: tuple[Download, ...] = ()
    #: where nothing is published: the folder that each user brings, in words that are shown to one who does not
    brought: str = ""

    @property
    def has_weights(self) -> bool:
        """Has the model weights, whoever publishes them."""
        return bool(self.weights or self.brought)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        taken = [download.into for download in (*self.weights, *self.auxiliary)]
        if self.brought and self.weights:
            raise ValueError("weights are published, or brought by each user; not both")
        if twice := {into for into in taken if taken.count(into) > 1}:
            raise ValueError(f"two files would lie at {', '.join(sorted(twice))}")
        return self


def sources_path(model: str) -> Path:
    """Where a model's sources.toml lies."""
    return paths.project() / "models" / model / "sources.toml"


def lock_path(packages: Packages) -> Path:
    """Where the lock of these packages lies."""
    return paths.project() / "models" / packages.lock


def read_sources(model: str) -> Sources | None:
    """The sources of a model; None for one that has no such file. Raises ManifestError naming file and field."""
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
    if sources.packages:
        _check_lock(lock_path(sources.packages), sources.packages)
    return sources


def locked(lock: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """A lock's packages: normalised name -> (requirement, its sha256s). Raises ManifestError for a line without hashes."""
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
                f"{lock}: every line is name==version with --hash=sha256:...; this one is not: {entry[:80]}"
            )
        packages[normal_name(match[1])] = (requirement, hashes)
    return packages


def normal_name(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_lock(lock: Path, packages: Packages) -> None:
    names = locked(lock)
    if brought := sorted(name for name in names if OF_THE_BASE.match(name)):
        raise ManifestError(
            f"{lock}: {', '.join(brought)} is the base image's; take it out of the lock"
        )
    if unknown := sorted({normal_name(name) for name in packages.build} - names.keys()):
        raise ManifestError(
            f"{lock}: packages.build names {', '.join(unknown)}, which the lock does not have"
        )
