"""References that hold a canary, and the search for it and for changes of the host."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from tests.tiny import GRIDS

CANARY = "umd-canary-3c1a7f"
#: what is printed by the adversary's program; no process of that name may be left
PROGRAM = "hostile/model.py"


def make_dataset(folder: Path, attacks: list[str], name: str = "hostile") -> Path:
    """Two scans for each attack: one of that target, and after it an honest one.

    The canary is in the subjects' names, in names and headers of files, and in the voxels of the
    references, as numbers of a label that is not scored.
    """
    folder.mkdir(parents=True)
    grid = GRIDS["CT"]
    rows = ["subject\tsession\tmodality\timage\treference\tunit\tlabels"]
    number = 0
    for place, attack in enumerate(attacks):
        for step, target in enumerate((attack, "liver")):
            subject = f"{CANARY}-{place:03d}-{step}"
            number += 1
            labels = np.zeros(grid.shape, np.uint8)
            labels[4:9, 4:8, 3:7] = 1
            text = CANARY.encode()
            labels.reshape(-1, order="F")[: len(text)] = 0
            flat = labels.ravel(order="F")
            flat[: len(text)] = list(text)
            labels = flat.reshape(grid.shape, order="F")
            image = np.random.default_rng(number).integers(0, 200, grid.shape).astype(np.int16)
            paths = []
            for kind, array in (("image", image), ("reference", labels)):
                path = folder / f"{subject}_{kind}.nii{'.gz' if number % 2 else ''}"
                volume = nibabel.Nifti1Image(array, np.array(grid.affine))
                volume.header["descrip"] = CANARY.encode()
                volume.header["aux_file"] = CANARY.encode()
                nibabel.save(volume, path)
                paths.append(path.name)
            rows.append("\t".join([subject, "a", "CT", *paths, "HU", f"{target}=1"]))
    (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    facts = {"name": name, "title": "Canaries", "license": "CC0-1.0", "citation": "none"}
    facts["reference_origin"] = "generated"
    lines = [f'{key} = "{value}"' for key, value in facts.items()]
    (folder / f"{name}.toml").write_text("\n".join([*lines, "synthetic = true", ""]))
    return folder / f"{name}.toml"


def holds_canary(content: bytes) -> bool:
    """Whether bytes hold the canary, packed or not."""
    if CANARY.encode() in content or CANARY.encode()[::-1] in content:
        return True
    if content[:2] == b"\x1f\x8b":
        try:
            return CANARY.encode() in gzip.decompress(content)
        except (OSError, EOFError, ValueError):
            return False
    return False


def find_canary(roots: list[Path]) -> list[str]:
    """Files below some folders whose name below them, or content, holds the canary."""
    found = []
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            inside = path.name if path == root else str(path.relative_to(root))
            if CANARY in inside or (path.is_file() and holds_canary(path.read_bytes())):
                found.append(str(path))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What of the host an attack must not change, as far as other programs leave it alone."""

    #: mounts in workspaces of this process, or of nobody
    mounts: frozenset[str]
    #: containers of this process
    containers: frozenset[str]
    #: the adversary's processes
    processes: frozenset[str]
    #: files that the attacks would make outside of their container
    traces: frozenset[str]
    #: workspaces of this process
    workspaces: frozenset[str]
    #: what is below the folder for temporary files
    temporary: frozenset[str]
    #: hash of files that links of the attacks lead to, and of the dataset
    files: str


def look_at_host(engine, data: Path, cache: Path, temporary: Path) -> Host:
    """The state of the host."""
    work = cache / "work"
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4])
        if work in point.parents and not _is_of_another(work / point.relative_to(work).parts[0]):
            mounts.append(str(point))
    owned = {"label": f"umd.pid={os.getpid()}"}
    containers = engine.client.containers.list(all=True, filters=owned)
    spaces = [path.name for path in work.glob("*") if not _is_of_another(path)]
    digest = hashlib.sha256()
    for file in [Path("/etc/passwd"), *sorted(data.glob("*"))]:
        digest.update(file.read_bytes())
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    lines = listed.stdout.splitlines()
    return Host(
        mounts=frozenset(mounts),
        containers=frozenset(container.id for container in containers),
        processes=frozenset(line for line in lines if PROGRAM in line or "left-behind" in line),
        traces=frozenset(str(path) for path in Path("/tmp").glob("umd-hostile-*")),
        workspaces=frozenset(spaces),
        temporary=frozenset(str(path) for path in temporary.rglob("*")),
        files=digest.hexdigest(),
    )


def _is_of_another(workspace: Path) -> bool:
    """Whether another process uses a workspace."""
    try:
        owner = json.loads((workspace / "evaluator.json").read_text())
    except OSError:
        return False
    return owner["pid"] != os.getpid()


def differences(before: Host, after: Host) -> list[str]:
    """What was changed on the host; empty: nothing."""
    changes = []
    for name in ("mounts", "containers", "processes", "traces", "workspaces", "temporary"):
        added = getattr(after, name) - getattr(before, name)
        changes += [f"{name}: {entry}" for entry in sorted(added)]
    if after.files != before.files:
        changes.append("files of the host or of the dataset were changed")
    return changes


def set_user_id_files(folder: Path) -> list[str]:
    """Programs of a folder that would run as their owner."""
    return [str(path) for path in folder.rglob("*") if path.lstat().st_mode & 0o6000]
