"""A synthetic whole-body PET/CT and PET/MR phantom: images, references, manifest and case list, the same for the same seed.

It looks roughly like a patient and is good for tests and demonstrations; scores on it say nothing about patients.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS, draw_body
from evaluator.datasets.phantom.grids import grids_of
from evaluator.datasets.phantom.render import render_image, render_labels
from evaluator.volumes import write_volume

if TYPE_CHECKING:
    from evaluator.manifests.datasets import DatasetManifest, PhantomPlan
    from evaluator.types import Modality

UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}
STREAMS: tuple[Modality, ...] = ("CT", "MR", "PT")


def generate(manifest: DatasetManifest, folder: Path) -> None:
    """Write a generated dataset to ``folder``, whole or not at all; does nothing where it is there already.

    Any number of processes and threads may ask for the same folder at once.
    """
    done = folder / f"{manifest.name}.toml"
    if done.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        _write_all(manifest, making)
        making.chmod(0o755)
        making.rename(folder)
    except OSError:
        if not done.exists():  # else another was faster, with the same files
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def version() -> str:
    """A hash of the generator's own text: what an older one made is not taken for what this one would make."""
    own = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in own)).hexdigest()


def _write_all(manifest: DatasetManifest, folder: Path) -> None:
    plan = manifest.phantom
    assert plan
    with ThreadPoolExecutor(max_workers=2) as pool:
        rows = list(pool.map(lambda number: _write_case(folder, plan, number), range(plan.cases)))
    header = "subject\tsession\tmodality\timage\treference\tunit\tlabels\tsha256\treference_sha256"
    lines = [header, *(line for case in rows for line in case)]
    (folder / f"{manifest.name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / f"{manifest.name}.toml").write_text(_toml(manifest), encoding="utf-8")


def _write_case(folder: Path, plan: PhantomPlan, number: int) -> list[str]:
    """One subject: a structural image (CT for even numbers, MR for odd ones) and PET, each with its reference."""
    subject = f"phantom-{number + 1:03d}"
    body = draw_body(np.random.default_rng([plan.seed, number, 0]))
    structural: Modality = "MR" if number % 2 else "CT"
    (folder / subject).mkdir()
    rows = []
    for modality, grid in grids_of(plan.size, structural, number).items():
        chance = np.random.default_rng([plan.seed, number, 1 + STREAMS.index(modality)])
        labels = render_labels(body, grid)
        image = render_image(body, grid, labels, modality, chance)
        names = [f"{subject}/{modality}.nii.gz", f"{subject}/{modality}_reference.nii.gz"]
        organs = labels * (labels <= len(ORGANS))
        hashes = [
            write_volume(folder / names[0], image, grid),
            write_volume(folder / names[1], organs, grid),
        ]
        rows.append(
            "\t".join([subject, "a", modality, *names, UNITS[modality], "@organs", *hashes])
        )
    return rows


def _toml(manifest: DatasetManifest) -> str:
    said = ("name", "title", "description", "license", "citation", "reference_origin")
    # a string of JSON is one of TOML
    facts = [
        f"{field} = {json.dumps(getattr(manifest, field), ensure_ascii=False)}" for field in said
    ]
    organs = [f"{name} = {value}" for value, name in enumerate(ORGANS, 1)]
    return "\n".join([*facts, "synthetic = true", "", "[labels.organs]", *organs, ""])
