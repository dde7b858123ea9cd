"""An example for the golden case: a synthetic CT whose organs are balls, each with its own HU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evaluator.evaluation.golden import run_golden
from evaluator.evaluation.run_config import RunConfig
from evaluator.volumes import write_volume
from evaluator.zoo import find_model
from zoo_sdk import Grid

RADIUS_MM = 11.0
#: organ -> centre in RAS mm, and HU; both kidneys look alike
ORGANS = {
    "liver": ((25, -5, 10), 100),
    "spleen": ((-25, 10, 20), 200),
    "kidney-left": ((-25, -5, -25), 300),
    "kidney-right": ((25, -5, -25), 300),
    "aorta": ((0, 10, -5), 400),
}


def write_example(
    folder: Path,
    grid: Grid,
    organs: Mapping[str, tuple[tuple[int, int, int], int]],
    slab: tuple[float, int] | None = None,
) -> Path:
    """Write the image, its reference and the manifest.

    Args:
        folder: where to.
        grid: of both.
        organs: as ``ORGANS``.
        slab: below which height in mm there is a slab, and its HU.

    Returns:
        the manifest.
    """
    voxels = np.indices(grid.shape).reshape(3, -1).T
    affine = np.asarray(grid.affine)
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    labels, values = np.zeros(len(places), np.uint8), np.zeros(len(places), np.int16)
    if slab:
        values[places[:, 2] < slab[0]] = slab[1]
    for number, (centre, hu) in enumerate(organs.values(), 1):
        inside = ((places - np.array(centre)) ** 2).sum(axis=1) <= RADIUS_MM**2
        labels[inside], values[inside] = number, hu
    write_volume(folder / "image.nii.gz", values.reshape(grid.shape), grid)
    write_volume(folder / "reference.nii.gz", labels.reshape(grid.shape), grid)
    names = ";".join(f"{organ}={n}" for n, organ in enumerate(organs, 1))
    (folder / "example.tsv").write_text(
        "subject\tsession\tmodality\timage\treference\tunit\tlabels\n"
        f"s\ta\tCT\timage.nii.gz\treference.nii.gz\tHU\t{names}\n"
    )
    (folder / "example.toml").write_text(
        'name = "example"\ntitle = "Synthetic balls"\nlicense = "CC0-1.0"\ncitation = "none"\n'
        'reference_origin = "generated"\nsynthetic = true\n'
    )
    return folder / "example.toml"


def run_example(folder: Path, example: Path, golden: str):
    """Run the golden case of model ``net`` of a project's folder on an example.

    Args:
        folder: the project, with the adapter.
        example: the manifest.
        golden: further lines of ``[golden]`` in expected.toml.
    """
    (folder / "models" / "net" / "expected.toml").write_text(
        f'[golden]\ndataset = "{example}"\n{golden}\n'
    )
    return run_golden(find_model("net").card, RunConfig(model="net", dataset="", engine="local"))
