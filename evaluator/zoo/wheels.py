"""Python packages for an image: wheels collected by the host's own pip for the image's Python and platform, by hash.

The host's pip knows the site's proxies, mirrors and certificates (decision 0001). Nothing is resolved: a lock names all.
"""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluator.errors import HostError, ModelPartsError
from evaluator.zoo.sources import locked, normal_name

if TYPE_CHECKING:
    from collections.abc import Sequence

Flavour = Literal["cpu", "cuda"]

#: the image's Python, and the newest glibc that its system has; both flavours' bases
PYTHON = "3.11"
GLIBC = {"cpu": 36, "cuda": 35}
OLDEST_GLIBC = 5
TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlatform:
    """What an image runs on: the flavour of its base, and the kind of processor."""

    flavour: Flavour
    machine: str = ""

    def __post_init__(self) -> None:
        """No machine named: this one's."""
        known = {"amd64": "x86_64", "arm64": "aarch64"}
        machine = self.machine or platform.machine()
        object.__setattr__(self, "machine", known.get(machine.lower(), machine))

    @property
    def name(self) -> str:
        """As bundles call it."""
        return f"{self.flavour}-{self.machine}"

    @property
    def pip_arguments(self) -> list[str]:
        """How pip is told; it matches each glibc exactly."""
        tags = [
            f"manylinux_2_{minor}_{self.machine}"
            for minor in range(GLIBC[self.flavour], OLDEST_GLIBC - 1, -1)
        ]
        tags += [
            f"{old}_{self.machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")
        ]
        return [
            "--python-version",
            PYTHON,
            "--implementation",
            "cp",
            *(part for tag in tags for part in ("--platform", tag)),
        ]


def collect_wheels(
    lock: Path, build: Sequence[str], image: ImagePlatform, folder: Path
) -> list[Path]:
    """Fetch every package of the lock into an empty folder; those of ``build`` as source, made into wheels.

    Raises HostError for a full disk, else ModelPartsError with pip's last lines; a source that is not pure Python cannot be built for another platform.
    """
    packages = locked(lock)
    from_source = {normal_name(name) for name in build}
    with tempfile.TemporaryDirectory() as temporary:
        wheels = _requirements(
            Path(temporary, "wheels.txt"), packages, packages.keys() - from_source
        )
        sources = _requirements(Path(temporary, "sources.txt"), packages, from_source)
        if packages.keys() - from_source:
            _pip(
                [
                    "download",
                    "--only-binary=:all:",
                    *image.pip_arguments,
                    "-r",
                    str(wheels),
                    "-d",
                    str(folder),
                ]
            )
        if from_source:
            _pip(
                [
                    "wheel",
                    f"--no-binary={','.join(sorted(from_source))}",
                    "-r",
                    str(sources),
                    "-w",
                    str(folder),
                ]
            )
    made = sorted(folder.glob("*.whl"))
    bound = [
        wheel.name
        for wheel in made
        if normal_name(wheel.name.split("-")[0]) in from_source
        and not wheel.name.endswith("-none-any.whl")
    ]
    if bound:
        raise ModelPartsError(
            f"{', '.join(bound)}: built from source for this machine, not for the image; it needs a real wheel"
        )
    if lacking := packages.keys() - {normal_name(wheel.name.split("-")[0]) for wheel in made}:
        raise ModelPartsError(
            f"pip brought no wheel of {', '.join(sorted(lacking))} for {image.name}"
        )
    return made


def unpack_wheels(wheels: Sequence[Path], image: ImagePlatform, folder: Path) -> None:
    """Install wheels into a folder, as they are and without an index."""
    arguments = [
        "--no-index",
        "--only-binary=:all:",
        *image.pip_arguments,
        "--no-compile",
        "--target",
        str(folder),
    ]
    _pip(["install", "--quiet", *arguments, *map(str, wheels)])


def _requirements(
    path: Path, packages: dict[str, tuple[str, tuple[str, ...]]], names: set[str]
) -> Path:
    lines = [
        " ".join([packages[name][0], *(f"--hash=sha256:{hash_}" for hash_ in packages[name][1])])
        for name in sorted(names)
    ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def _pip(arguments: list[str]) -> None:
    command, *rest = arguments
    hashes = [] if command == "install" else ["--require-hashes"]
    asked = [
        sys.executable,
        "-m",
        "pip",
        command,
        "--disable-pip-version-check",
        "--no-deps",
        *hashes,
        *rest,
    ]
    done = subprocess.run(
        asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode and os.strerror(errno.ENOSPC) in done.stdout:
        raise HostError(
            f"no space left while pip worked in {tempfile.gettempdir()} and in the bundle; free some (TMPDIR names another "
            "folder for the first) and run again"
        )
    if done.returncode:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-TAIL_LINES:])
        raise ModelPartsError(
            f"Python packages could not be collected (pip {command}):\n    {tail}"
        )
