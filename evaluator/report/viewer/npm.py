"""Pinned npm packages: fetched when needed, verified by sha256 and stored in the cache.

They come from the user's npm, whose registry, proxy and login settings are used, or directly from
the configured registry.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTRY = "https://registry.npmjs.org"
SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One version of one package."""

    name: str
    version: str
    #: of the tarball
    sha256: str

    @property
    def spec(self) -> str:
        """How npm calls it."""
        return f"{self.name}@{self.version}"

    @property
    def tarball(self) -> str:
        """The file that ``npm pack`` makes."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def is_it(self, content: bytes) -> bool:
        """Is this the tarball that was pinned."""
        return hashlib.sha256(content).hexdigest() == self.sha256


class PackageUnavailableError(Exception):
    """The package is not in the cache and came from nowhere; the message says what was tried."""


def fetch(package: Package) -> bytes:
    """The package's tarball. Raises PackageUnavailableError."""
    cached = paths.cache() / "npm" / package.tarball
    if cached.is_file() and package.is_it(content := cached.read_bytes()):
        return content
    refusals = []
    for name, source in (("npm", _from_npm), ("the registry", _from_registry)):
        try:
            for content in source(package):
                if package.is_it(content):
                    write_bytes(cached, content)
                    return content
                refusals.append(f"{name} gave another file than the pinned one")
        except (OSError, subprocess.SubprocessError) as error:
            refusals.append(f"{name}: {_short(error)}")
    raise PackageUnavailableError(
        "; ".join(refusals) or "there is no npm, and no registry is known"
    )


def _from_npm(package: Package) -> Iterator[bytes]:
    npm = shutil.which("npm")
    if npm is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package.spec]
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS
        )
        yield Path(folder, package.tarball).read_bytes()


def _from_registry(package: Package) -> Iterator[bytes]:
    registry = npm_registry().rstrip("/")
    if not registry.startswith(("https://", "http://")):
        return
    url = f"{registry}/{package.name}/-/{package.name.rsplit('/', 1)[-1]}-{package.version}.tgz"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310
        yield answer.read()


def npm_registry() -> str:
    """Return npm's registry: from the environment, the user's ``.npmrc``, or the default."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if value := os.environ.get(name):
            return value
    try:
        text = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc").read_text(
            encoding="utf-8"
        )
    except (OSError, UnicodeDecodeError, RuntimeError):
        return REGISTRY
    matched = re.search(r"^\s*registry\s*=\s*(\S+)", text, re.MULTILINE)
    return matched[1].strip("\"'") if matched else REGISTRY


def _short(error: Exception) -> str:
    message = getattr(error, "stderr", None) or str(error) or type(error).__name__
    lines = [line for line in str(message).strip().splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
