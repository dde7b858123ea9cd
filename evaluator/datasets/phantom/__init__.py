"""A synthetic whole-body PET/CT and PET/MR phantom: images, references, manifest and case list, the same for the same seed.

It looks roughly like a patient and is good for tests and demonstrations; scores on it say nothing about patients.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS, draw_body
from evaluator.datasets.phantom.grids import grids_of
from evaluator.datasets.phantom.render import render_image, render_labels
from evaluator.volumes import write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.manifests.datasets import DatasetManifest, PhantomPlan
    from evaluator.types import Modality

UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}
STREAMS: tuple[Modality, ...] = ("CT", "MR", "PT")


def generate(manifest: DatasetManifest, folder: Path) -> None:
    """Write a generated dataset to ``folder``, whole or not at all; does nothing where it is there already."""
    assert manifest.phantom
    if (folder / f"{manifest.name}.toml").exists():
        return
    making = folder.with_name(f".making-{os.getpid()}-{folder.name}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    plan = manifest.phantom
    with ThreadPoolExecutor(max_workers=2) as pool:
        rows = list(pool.map(lambda number: _write_case(making, plan, number), range(plan.cases)))
    header = "subject\tpair\tmodality\timage\treference\tunit\tlabels\tsha256\treference_sha256"
    lines = [header, *(line for case in rows for line in case)]
    (making / f"{manifest.name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (making / f"{manifest.name}.toml").write_text(_toml(manifest), encoding="utf-8")
    try:
        making.rename(folder)
    except OSError:
        shutil.rmtree(making)  # another process was faster, with the same files
        if not folder.exists():
            raise


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
        hashes = [write_volume(folder / names[0], image, grid), write_volume(folder / names[1], organs, grid)]
        rows.append("\t".join([subject, "a", modality, *names, UNITS[modality], "@organs", *hashes]))
    return rows


def _toml(manifest: DatasetManifest) -> str:
    said = ("name", "title", "description", "license", "citation", "reference_origin")
    facts = [f'{field} = "{getattr(manifest, field)}"' for field in said]
    organs = [f"{name} = {value}" for value, name in enumerate(ORGANS, 1)]
    return "\n".join([*facts, "synthetic = true", "", "[labels.organs]", *organs, ""])
