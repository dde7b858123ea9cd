"""A network of the zoo outside of its image: its card, its files, its packages, random weights.

Nothing here imports the evaluator, so a machine with torch, numpy and scipy is enough. The files
are laid out as the Dockerfile lays them out in the image.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SDK = ROOT / "models" / "sdk"
#: the paper's networks first, then those that differ most from them
ORDER = (
    "vista3d", "sam-med3d", "sat-pro", "segvol", "nninteractive", "voxtell", "totalsegmentator",
    "nnunet", "nv-segment-ctmr", "mrsegmentator", "vibesegmentator", "moose", "ct-fm", "sat-nano",
    "lion", "mindgrab", "deepbet",
)  # fmt: skip
#: images with the network of another one
SAME_NETWORK = {
    "seganypet-v1": "sam-med3d",
    "seganypet-v2": "sam-med3d",
    "seganypet-lesion": "sam-med3d",
}


class MissingError(Exception):
    """What a network lacks on this machine."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that was laid out in a folder."""

    name: str
    #: labels of the Dockerfile that begin with ``umd.``, without that
    labels: dict[str, str]
    adapter: Path
    #: for the process that serves it
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def modality(self) -> str:
        """The first image that it takes."""
        return self.labels["inputs"].split("|")[0].split("+")[0].strip()

    @property
    def prompts(self) -> set[str]:
        return set(filter(None, self.labels["prompts"].split(",")))

    @property
    def targets(self) -> set[str] | None:
        """The organs that it has; None for any."""
        text = self.labels["targets"]
        return None if text == "*" else set(text.split(","))


def networks() -> list[str]:
    """All networks that have random weights, the most important first."""
    files = ROOT.glob("dockerfiles/*.Dockerfile")
    random = [path for path in files if "zoo_sdk.random_weights" in path.read_text()]
    names = {path.name.removesuffix(".Dockerfile") for path in random} - SAME_NETWORK.keys()
    return sorted(names, key=lambda name: (_place(name), name))


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def lay_out(name: str, folder: Path, bundle: Path | None) -> Network:
    """Copy a network's files into a folder, unpack its packages and its upstream source.

    Raises:
        MissingError: the bundle lacks something that the network needs.
    """
    path = ROOT / "dockerfiles" / f"{name}.Dockerfile"
    if not path.is_file():
        raise MissingError(f"no {path.name} in dockerfiles/")
    text = re.sub(r"\\[ \t]*\n", " ", path.read_text(encoding="utf-8"))
    folder.mkdir(parents=True)
    for pattern in re.findall(r"models/[\w./*-]+\.py", text):
        files = [] if pattern.startswith("models/sdk/") else sorted(ROOT.glob(pattern))
        for file in files:
            shutil.copy2(file, folder / file.name)
    packages = folder / "packages"
    packages.mkdir()
    unpack_bundle(name, text, bundle, folder, packages)
    variables = dict(re.findall(r"([A-Za-z]\w*)=([\w./:]+)", _instruction(text, "ENV")))
    further = filter(None, [os.environ.get("PYTHONPATH")])
    variables["PYTHONPATH"] = os.pathsep.join([str(SDK), str(packages), *further])
    return Network(
        name=name,
        labels=dict(re.findall(r"umd\.([\w.-]+)=\"([^\"]*)\"", text)),
        adapter=folder / "adapter.py",
        environment=variables,
    )


def _instruction(text: str, name: str) -> str:
    return "\n".join(re.findall(rf"^{name}\s+(.*)$", text, flags=re.MULTILINE))


def unpack_bundle(name: str, text: str, bundle: Path | None, folder: Path, packages: Path) -> None:
    """Unpack wheels and source of a bundle that ``umd models fetch`` made; nothing is installed."""
    if "parts/packages" in text and bundle:
        for wheel in sorted((bundle / _lock_of(name, bundle)).glob("wheels/*/*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                # wheels were verified by their hashes when they were fetched
                archive.extractall(packages)  # noqa: S202
    if "parts/upstream" in text:
        archives = sorted((bundle / name).glob("upstream/*.tar.gz")) if bundle else []
        if not archives:
            raise MissingError("upstream's source is in no bundle: umd models fetch, BUNDLE=")
        for archive in archives:
            _unpack_source(archive, folder / archive.name.rsplit("-", 1)[0])


def _lock_of(name: str, bundle: Path) -> str:
    """The model in the bundle that has the packages: itself, or the one whose lock it shares."""
    if (bundle / name).is_dir():
        return name
    sources = tomllib.loads((ROOT / "models" / name / "sources.toml").read_text(encoding="utf-8"))
    return Path(sources["packages"]["lock"]).parts[0]


def _unpack_source(path: Path, folder: Path) -> None:
    """Unpack the one folder at the top of an archive."""
    with tarfile.open(path) as archive:
        archive.extractall(folder.with_name(f"{folder.name}.unpacked"), filter="data")
    (top,) = folder.with_name(f"{folder.name}.unpacked").iterdir()
    top.rename(folder)


def write_weights(network: Network, size: str, folder: Path) -> str:
    """Write random weights in a separate process; the last line of an error, empty if it worked."""
    folder.mkdir(parents=True)
    script = network.adapter.with_name("random_weights.py")
    command = [sys.executable, "-m", "zoo_sdk.random_weights", str(script), f"random:{size}"]
    environment = os.environ | network.environment | {"UMD_WEIGHTS": str(folder)}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = ended.stderr.strip().splitlines()
    if ended.returncode and lines and "No module named" in lines[-1]:
        return f"{lines[-1]}; carry a bundle in: BUNDLE="
    return "" if not ended.returncode else (lines or [f"exit status {ended.returncode}"])[-1]
