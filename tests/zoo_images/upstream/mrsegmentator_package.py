"""Our MRSegmentator against the package's ``infer``, same files, same random weights: JSON lines.

All of upstream's way is called: its reader and writer, its weights folder, nnU-Net's processes for
a list of arrays.

    python mrsegmentator_package.py SIZE
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).parents[3]
sys.path[:0] = [
    str(folder)
    for folder in (
        Path(__file__).parent,
        ROOT / "models/sdk",
        ROOT / "models/mrsegmentator",
        ROOT / "models/nnunet",
    )
]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from mrsegmentator.config import setup_mrseg  # noqa: E402
from mrsegmentator.inference import infer  # noqa: E402
from volumes import VOLUMES, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402

#: our target -> the labels of the table in the package's README, by number
TARGETS = {
    "liver": [5],
    "kidney-left": [3],
    "kidney-right": [2],
    "lung": [10, 11],
    "heart": [12],
    "bladder": [24],
    "esophagus": [20],
}


def main(size: str) -> None:
    """Compare the volumes of CT and MR; fast too, one of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = os.environ["MRSEG_WEIGHTS_PATH"] = str(folder)
        random_weights.write(size, folder)
        ours = network.MRSegmentator()
        assert setup_mrseg() == folder / network.FOLDER
        for number, (volume, about) in enumerate(VOLUMES.items()):
            modality = "CT" if "CT" in volume else "MR"
            if "PET" in volume:
                continue
            path = folder / f"image{number}.nii.gz"
            write_volume(path, number, *about, air=-1000.0 if modality == "CT" else 0)
            for fast in ("off", "on") if "oblique" in volume else ("off",):
                line = {"volume": volume, "fast": fast, **compare(path, modality, ours, fast, size)}
                print(json.dumps(line), flush=True)


def compare(
    path: Path, modality: str, ours: network.MRSegmentator, fast: str, size: str
) -> dict[str, object]:
    """Voxels of seven masks that differ from the file that upstream writes."""
    array, affine, _ = _read(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    request = Request(
        "r", "c", 0, {modality: ImageFile("i", "HU")}, grid, tuple(map(Target, TARGETS))
    )
    with contextlib.redirect_stdout(io.StringIO()):
        # which folds: as its command chooses them
        folds = (0,) if fast == "on" else tuple(range(random_weights.FOLDS[size]))
        infer(
            [str(path)],
            str(path.parent / "theirs"),
            folds,
            cpu_only=True,
            nproc=1,
            nproc_export=1,
            allow_tqdm=False,
            fast=fast == "on",
        )
        prediction = pipeline.predict(
            Volume(array.astype(np.float32), affine), request, ours, {"fast": fast}
        )
    written = nibabel.load(path.parent / "theirs" / path.name.replace(".nii.gz", "_seg.nii.gz"))
    theirs = np.asarray(written.dataobj)
    expected = {name: np.isin(theirs, values) for name, values in TARGETS.items()}
    return {
        "same_grid": theirs.shape == grid.shape
        and bool(np.allclose(written.affine, affine, atol=1e-3)),
        "labels": len(np.unique(theirs)),
        "empty": sum(not mask.any() for mask in expected.values()),
        "voxels": int(sum(mask.sum() for mask in expected.values())),
        "differs": int(
            sum((prediction.masks[name] != mask).sum() for name, mask in expected.items())
        ),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
