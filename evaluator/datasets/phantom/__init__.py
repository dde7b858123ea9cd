"""A synthetic whole-body PET/CT and PET/MR phantom: images, references, manifest and case list.

Equal seeds give equal files. The phantom resembles a patient roughly, and serves tests and
demonstrations; scores on it do not apply to patients.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS, random_body
from evaluator.datasets.phantom.grids import grids_of
from evaluator.datasets.phantom.render import render_image, render_labels
from evaluator.volumes import write_volume

if TYPE_CHECKING:
    from evaluator.manifests.datasets import DatasetManifest, PhantomPlan
    from evaluator.types import Modality

logger = logging.getLogger(__name__)

UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}
STREAMS: tuple[Modality, ...] = ("CT", "MR", "PT")


def generate(manifest: DatasetManifest, folder: Path) -> None:
    """Generate a dataset in ``folder``, completely or not at all; an existing one is kept.

    Several processes and threads can generate the same folder at the same time.

    Args:
        manifest: a manifest with ``phantom`` set.
        folder: the new folder.

    Raises:
        OSError: the files cannot be written.
    """
    manifest_file = folder / f"{manifest.name}.toml"
    if manifest_file.exists():
        logger.debug(f"using the generated dataset in {folder}")
        return
    logger.debug(f"generating dataset {manifest.name} in {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        _write_all(manifest, temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError:
        # if it exists now, another process was faster and has written the same files
        if not manifest_file.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def version() -> str:
    """A hash of the generator's source code, so the files of an older generator are not reused."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in modules)).hexdigest()


def _write_all(manifest: DatasetManifest, folder: Path) -> None:
    plan = manifest.phantom
    assert plan
    lines = ["subject\tsession\tmodality\timage\treference\tunit\tlabels\tsha256\treference_sha256"]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for rows in pool.map(lambda number: _write_case(folder, plan, number), range(plan.cases)):
            lines += rows
    (folder / f"{manifest.name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / f"{manifest.name}.toml").write_text(_toml(manifest), encoding="utf-8")


def _write_case(folder: Path, plan: PhantomPlan, number: int) -> list[str]:
    """Write one subject: CT (even numbers) or MR (odd ones) and PET, each with its reference.

    Returns:
        the rows of the case list.
    """
    subject = f"phantom-{number + 1:03d}"
    body = random_body(np.random.default_rng([plan.seed, number, 0]))
    structural: Modality = "MR" if number % 2 else "CT"
    (folder / subject).mkdir()
    rows = []
    for modality, grid in grids_of(plan.size, structural, number).items():
        rng = np.random.default_rng([plan.seed, number, 1 + STREAMS.index(modality)])
        labels = render_labels(body, grid)
        image = render_image(body, grid, labels, modality, rng)
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
    fields = ("name", "title", "description", "license", "citation", "reference_origin")
    # a JSON string is a TOML string
    lines = [
        f"{field} = {json.dumps(getattr(manifest, field), ensure_ascii=False)}" for field in fields
    ]
    organs = [f"{name} = {value}" for value, name in enumerate(ORGANS, 1)]
    return "\n".join([*lines, "synthetic = true", "", "[labels.organs]", *organs, ""])
