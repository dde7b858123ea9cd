"""A synthetic stand-in of UMD: its counts and size class, in the layout that ``umd.toml`` assumes.

UMD has not published a layout. Both images of a pair are on one grid, with one reference.
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS, random_body
from evaluator.datasets.phantom.grids import grids_of
from evaluator.datasets.phantom.render import render_image, render_labels
from evaluator.errors import HostError
from evaluator.files import write_bytes
from evaluator.volumes import write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.types import Modality

#: pairs of the dataset
PET_CT, PET_MR = 490, 464
#: voxels along right, anterior, superior of a scan of its size
FULL_SIZE = (400, 400, 350)
#: compressed bytes of a voxel of a pair, both images and the reference; an estimate
PAIR_BYTES = 4.2
SYNTHETIC_FILE = "SYNTHETIC.txt"
NOTICE = "SYNTHETIC DATA made by `umd data phantom --like umd`. Nothing here is of a patient.\n"
SEXES = ("F", "M")
AGE_GROUPS = ("18-39", "40-59", "60-79")
FOLDERS: dict[str, Modality] = {"petct": "CT", "petmr": "MR"}
SCANNERS = {"petct": "Biograph 64", "petmr": "Biograph mMR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What is generated."""

    #: subjects of both kinds together; the kinds are in the proportion of UMD
    subjects: int = PET_CT + PET_MR
    size: tuple[int, int, int] = FULL_SIZE
    seed: int = 0

    @property
    def pet_ct(self) -> int:
        """Subjects with PET and CT; the others have PET and MR."""
        return round(self.subjects * PET_CT / (PET_CT + PET_MR))

    @property
    def bytes(self) -> int:
        """The space that the files need, about."""
        return round(self.subjects * float(np.prod(self.size)) * PAIR_BYTES)


def generate_stand_in(plan: StandIn, folder: Path) -> None:
    """Generate the files; equal plans give equal files.

    Args:
        plan: how many subjects, their size, and the seed.
        folder: new folder.

    Raises:
        HostError: the disk has too little space, or refuses.
    """
    folder.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if plan.bytes > free:
        raise HostError(
            f"{plan.subjects} subjects of {' x '.join(map(str, plan.size))} voxels need about "
            f"{plan.bytes / 1e9:.0f} GB, and {folder} has {free / 1e9:.0f} GB; choose fewer "
            "--cases or a smaller --size"
        )
    kinds = ["petct"] * plan.pet_ct + ["petmr"] * (plan.subjects - plan.pet_ct)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(partial(_write_subject, folder, plan), range(len(kinds)), kinds))
    header = "subject\tsex\tage_group\tscanner\ttracer"
    write_bytes(folder / "subjects.tsv", ("\n".join([header, *rows]) + "\n").encode())
    names = {name: value for value, name in enumerate(ORGANS, 1)}
    write_bytes(folder / "labels.json", f"{json.dumps(names)}\n".encode())
    write_bytes(folder / SYNTHETIC_FILE, NOTICE.encode())


def _write_subject(folder: Path, plan: StandIn, number: int, kind: str) -> str:
    """Write one pair with its reference; returns the row of the table of subjects."""
    structural = FOLDERS[kind]
    subject = f"{kind}-{number + 1:04d}"
    rng = np.random.default_rng([plan.seed, number, 0])
    body = random_body(rng)
    grid = grids_of(plan.size, structural, number)[structural]
    labels = render_labels(body, grid)
    place = folder / kind / subject
    place.mkdir(parents=True)
    for stream, (modality, name) in enumerate(((structural, structural), ("PT", "PET")), 1):
        noise = np.random.default_rng([plan.seed, number, stream])
        write_volume(
            place / f"{name}.nii.gz", render_image(body, grid, labels, modality, noise), grid
        )
    write_volume(place / "mask.nii.gz", labels * (labels <= len(ORGANS)), grid)
    sex, age = SEXES[int(rng.integers(2))], AGE_GROUPS[int(rng.integers(3))]
    return "\t".join([subject, sex, age, SCANNERS[kind], "FDG"])
