"""The base images ``umd/base`` and ``umd/torch``.

``umd/base`` is built on a pinned public image if a registry answers, else on Debian packages;
``umd/torch`` is built on it, in both flavours, so that all images have one Python and one torch
(decision 0145). Python
packages are collected on the host, with its pip settings, proxies and certificates, and copied
into the image, so the build needs no network. The image gets the host's certificates and package
index for builds on top of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin, urlsplit

from evaluator import paths
from evaluator.errors import BuildError
from evaluator.zoo.build_lock import build_lock
from evaluator.zoo.catalog import hash_files
from evaluator.zoo.wheels import PYTHON

if TYPE_CHECKING:
    from evaluator.zoo.image_store import ImageStore

logger = logging.getLogger(__name__)

Flavour = Literal["auto", "cpu", "cuda"]

BOOTSTRAP = "umd/bootstrap:bookworm"
TORCH = "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
#: names an index with torch for another CUDA than that of the package index, for older drivers
INDEX_VARIABLE = "UMD_TORCH_INDEX"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
DEBIAN_PACKAGES = "python3,python3-pip,ca-certificates"
ANSWER_SECONDS = 5

HOW_TO_BOOTSTRAP = (
    "no registry answers, and mmdebstrap, which makes a base image from Debian packages, is not "
    "installed. Install it (apt-get install mmdebstrap), or set UMD_BASE to an image with Python "
    "3.11 on this machine."
)


def ensure_base(name: str, builder: ImageStore, *, flavour: Flavour = "auto") -> str:
    """The id of ``umd/base`` or ``umd/torch``, built unless an image of the same inputs exists.

    Args:
        name: "base" or "torch".
        builder: connection to the engine.
        flavour: of ``umd/torch``; "auto" is CUDA if the machine has a GPU.

    Raises:
        BuildError: the image does not build, or there is nothing to build it on.
    """
    flavour = choose_flavour(flavour) if name == "torch" else "cpu"
    tag = _content(name, flavour)[:16]
    reference = f"umd/{name}:{tag}"
    digest = builder.find(reference)
    logger.debug(f"base image {reference} {'exists' if digest else 'does not exist yet'}")
    if digest is None:
        with build_lock(paths.cache() / "locks" / f"{name}-base.lock", f"builds umd/{name}"):
            digest = builder.find(reference) or _build(name, flavour, reference, builder)
    builder.add_tag(reference, f"umd/{name}", "latest")
    return digest


def _build(name: str, flavour: Literal["cpu", "cuda"], reference: str, builder: ImageStore) -> str:
    under = _under(name, builder)
    details = f" ({flavour} flavour)" if name == "torch" else ""
    logger.info(f"building {reference}{details} on {under}")
    with tempfile.TemporaryDirectory(dir=_folder()) as folder:
        context = Path(folder)
        if name == "base":
            _site(context / "site")
            _sdk(context / "zoo_sdk")
        _packages(name, flavour, context / "packages")
        shutil.copy(paths.project() / f"dockerfiles/{name}.Dockerfile", context / "Dockerfile")
        return builder.build(
            context,
            "Dockerfile",
            reference,
            what=f"base image umd/{name}",
            arguments={"BASE": under},
        )


def _sdk(folder: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(paths.project() / "models/sdk/zoo_sdk", folder, ignore=ignore)


def choose_flavour(flavour: Flavour) -> Literal["cpu", "cuda"]:
    """The flavour to use: for "auto", CUDA if the machine has a GPU, else CPU."""
    from evaluator.containers.gpus import find_gpus

    if flavour == "auto":
        return "cuda" if find_gpus() else "cpu"
    return flavour


def registry_answers(address: str) -> bool:
    """True if the registry at this address answers within seconds.

    A pull by the engine could wait for minutes.
    """
    if not address:
        return False
    try:
        # S310: the address comes from the engine
        with urllib.request.urlopen(urljoin(address, "/v2/"), timeout=ANSWER_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        # a registry answers 401 to a request without credentials; a refusing proxy does not
        return error.code == 401
    except (OSError, ValueError):
        return False


def _under(name: str, builder: ImageStore) -> str:
    """The image to build on: the user's choice, the pinned public one, or one made here."""
    if name == "torch":
        # by its content: another checkout may move the tag "latest" in the meantime
        return ensure_base("base", builder)
    if choice := os.environ.get("UMD_BASE"):
        return choice
    text = (paths.project() / "dockerfiles/base.Dockerfile").read_text(encoding="utf-8")
    public = re.search(r"^ARG BASE=(\S+)$", text, flags=re.MULTILINE)
    assert public, "a Dockerfile of a base image must name its pinned base"
    if builder.find(public[1]) or (
        registry_answers(builder.registry()) and _pull(public[1], builder)
    ):
        return public[1]
    return _bootstrap(builder)


def _pull(reference: str, builder: ImageStore) -> bool:
    logger.info(f"pulling {reference}")
    return builder.pull(reference)


def _bootstrap(builder: ImageStore) -> str:
    if builder.find(BOOTSTRAP):
        return BOOTSTRAP
    if shutil.which("mmdebstrap") is None:
        raise BuildError(HOW_TO_BOOTSTRAP)
    logger.info(
        "no registry answers: making a base file system from Debian packages with mmdebstrap"
    )
    with tempfile.TemporaryDirectory(dir=_folder()) as folder:
        tar = Path(folder) / "root.tar"
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={DEBIAN_PACKAGES}",
            "bookworm",
            str(tar),
        ]
        _run(command, "the base file system could not be made")
        repository, tag = BOOTSTRAP.split(":")
        builder.import_tar(tar, repository, tag)
    return BOOTSTRAP


def _packages(name: str, flavour: str, folder: Path) -> None:
    """Collect the wheels of the image, for its Python on this machine's kind of processor."""
    folder.mkdir()
    lock = paths.project() / "dockerfiles/base.lock"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(folder),
    ]
    pip += ["--python-version", PYTHON, "--only-binary=:all:", "--no-compile"]
    if name == "base":
        logger.info("collecting numpy, scipy and SimpleITK")
        _run(
            [*pip, "--require-hashes", "-r", str(lock)],
            "the packages of the base image could not be collected",
        )
    else:
        logger.info(f"collecting {TORCH} ({flavour})")
        # among equal versions pip prefers one with a local label: the CPU wheel of this index
        chosen = TORCH_CPU_INDEX if flavour == "cpu" else os.environ.get(INDEX_VARIABLE, "")
        index = ["--extra-index-url", chosen] if chosen else []
        _run(
            [*pip, *index, TORCH, "--constraint", str(_versions(lock))],
            "torch could not be collected",
        )


def _versions(lock: Path) -> Path:
    """The lock's versions without hashes, as a constraints file for pip."""
    pins = re.findall(
        r"^([A-Za-z0-9._-]+==[^ \\]+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    path = _folder() / "constraints.txt"
    path.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return path


def _site(folder: Path) -> None:
    """Copy the host's certificates and package index for builds on the image, no credentials."""
    (folder / "etc/ssl/certs").mkdir(parents=True)
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, folder / "etc/ssl/certs")
    settings = pip_settings()
    lines = ["[global]", *(f"{key} = {value}" for key, value in settings.items())]
    (folder / "etc/pip.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def pip_settings() -> dict[str, str]:
    """The host's index settings that work in a container: network addresses without credentials."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    settings = {}
    for line in done.stdout.splitlines():
        match = re.match(r"^[^.=]+\.(index-url|extra-index-url|trusted-host)='(.*)'$", line)
        if not match:
            continue
        addresses = [
            part for part in match[2].split() if match[1] == "trusted-host" or _is_open(part)
        ]
        if addresses:
            settings[match[1]] = " ".join(addresses)
    return settings


def _is_open(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") and parts.username is None


def _content(name: str, flavour: str) -> str:
    root = paths.project()
    files = [
        root / "dockerfiles/base.lock",
        root / "dockerfiles/base.Dockerfile",
        *([root / "dockerfiles/torch.Dockerfile"] if name == "torch" else []),
        root / "models/sdk/zoo_sdk",
    ]
    site = CERTIFICATES.read_bytes() if CERTIFICATES.exists() else b""
    own = [
        flavour,
        TORCH if name == "torch" else "",
        os.environ.get("UMD_BASE", ""),
        os.environ.get(INDEX_VARIABLE, "") if name == "torch" else "",
    ]
    parts = [
        hash_files(files, root),
        hashlib.sha256(site).hexdigest(),
        *own,
        repr(sorted(pip_settings().items())),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _folder() -> Path:
    folder = paths.cache() / "build"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-15:])
        raise BuildError(f"{what} ({' '.join(command[:4])} ...):\n    {tail}")
