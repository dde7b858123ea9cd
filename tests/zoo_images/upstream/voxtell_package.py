"""Our VoxTell against the package's predictor, same files, same random weights: JSON lines.

The package's own reader, ``preprocess``, ``predict_single_image`` and writer are called; what they
need beside the image (nnU-Net, transformers) comes with ``voxtell.lock``. Its constructor knows the
full network alone, so its attributes are set here.

    python voxtell_package.py SIZE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import torch
from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization
from scipy.ndimage import zoom
from voxtell.inference.predictor import VoxTellPredictor

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/voxtell")]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import voxel_grid_of  # noqa: E402

TEXTS = ["Liver", "left kidney"]
TILT = np.linalg.qr(np.array([[1.0, 0.14, -0.1], [-0.12, 1.0, 0.09], [0.11, -0.08, 1.0]]))[0]
TILT *= np.sign(np.diag(TILT))
#: name -> directions, voxel sizes, shape, number type
VOLUMES = {
    "RAS CT int16": (np.eye(3), (0.9, 0.9, 2.5), (240, 210, 90), np.int16),
    "LPS CT int16": (np.diag([-1.0, -1.0, 1.0]), (1.37, 1.37, 3.0), (200, 170, 60), np.int16),
    "PIR PET float32": (
        np.eye(3)[:, [1, 2, 0]] @ np.diag([-1, -1, 1.0]),
        (4.07, 4.07, 4.07),
        (60, 70, 64),
        np.float32,
    ),
    "oblique LPI MR uint16": (
        TILT @ np.diag([-1.0, 1.0, -1.0]),
        (2.03, 2.03, 5.1),
        (90, 110, 40),
        np.uint16,
    ),
}


def main(size: str) -> None:
    """Compare all volumes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder)
        random_weights.write(size, folder)
        (folder / "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        ours, theirs = network.VoxTell(), predictor(folder / "voxtell_random", size)
        theirs.embedding_bank = ours._bank
        for number, (volume, about) in enumerate(VOLUMES.items()):
            path = folder / "image.nii.gz"
            write_volume(path, number, *about)
            print(json.dumps({"volume": volume} | compare(path, ours, theirs)), flush=True)


def predictor(folder: Path, size: str) -> VoxTellPredictor:
    """The package's predictor with the random network."""
    plans = json.loads((folder / "plans.json").read_text())
    model = VoxTellPredictor.__new__(VoxTellPredictor)
    model.network = network.build(plans, size)
    model.network.load_state_dict(torch.load(folder / "fold_0/checkpoint_final.pth")[network.STATE])
    model.network.eval()
    model.device, model.tile_step_size, model.perform_everything_on_device = (
        torch.device("cpu"),
        0.5,
        True,
    )
    model.normalization, model.patch_size = (
        ZScoreNormalization(intensityproperties={}),
        pipeline.PATCH,
    )
    return model


def compare(path: Path, ours: network.VoxTell, theirs: VoxTellPredictor) -> dict[str, object]:
    """Largest differences at each stage."""
    reader = NibabelIOWithReorient()
    read, properties = reader.read_images([str(path)])
    expected, box, _ = theirs.preprocess(read)
    array, affine, _ = _read(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    network_grid = pipeline.network_grid_of(voxel_grid_of(grid), "native")
    start, values = pipeline.network_values(Volume(array, affine), network_grid)
    targets = tuple(Target(text, text=text) for text in TEXTS)
    request = Request("r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, targets)
    prediction = pipeline.predict(Volume(array, affine), request, ours, {"spacing": "native"})
    differ = voxels = 0
    for text, mask in zip(TEXTS, theirs.predict_single_image(read, TEXTS), strict=True):
        written = path.with_name("mask.nii.gz")
        reader.write_seg(mask, str(written), properties)
        back = np.asarray(nibabel.load(written).dataobj) > 0
        differ, voxels = (
            differ + int((prediction.masks[text] != back).sum()),
            voxels + int(back.sum()),
        )
    return {
        "patches": prediction.notes["crop"]["patches"],
        "crop": [list(start), list(values.shape)]
        == [[low for low, _ in box], [high - low for low, high in box]],
        "input": float(abs(values - expected[0].numpy()).max()),
        "back_voxels": voxels,
        "back_differs": differ,
    }


def write_volume(path: Path, seed: int, directions, sizes, shape, dtype) -> None:
    """Smooth noise in a border of nothing."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=tuple(n // 10 + 2 for n in shape))
    array = zoom(coarse, 10, order=1)[: shape[0], : shape[1], : shape[2]] * 300 + 60
    inner = np.zeros(shape, bool)
    inner[9:-5, 7:-11, 3:-4] = True
    array = np.where(inner, array if dtype == np.int16 else abs(array), 0)
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(sizes)
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    nibabel.save(nibabel.Nifti1Image(array.astype(dtype), affine.astype(np.float32)), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
