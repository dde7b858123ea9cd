"""Our SAT against upstream's, same files, same random weights: a JSON line for each volume.

Upstream's own ``load_image``, ``split_3d`` and ``inference`` are called (its source lies in the
model's image); what they need beside it (MONAI, nibabel, pandas) comes with ``monai.lock``.
Upstream's text encoder wants a GPU and two processes, so it is called part by part. With a folder
as second argument, that one has upstream's source.

    python sat.py SIZE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import monai.transforms as m
import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from scipy.ndimage import zoom

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/sat-nano")]
os.environ.setdefault("RANK", "0")

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from data.inference_dataset import Inference_Dataset  # noqa: E402
from evaluate.inference_engine import inference  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume, choose_options  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import canonical, voxel_grid_of  # noqa: E402

LABELS = ["Liver", "left kidney", "tumor"]
TILT = np.linalg.qr(np.array([[1.0, 0.14, -0.1], [-0.12, 1.0, 0.09], [0.11, -0.08, 1.0]]))[0]
TILT *= np.sign(np.diag(TILT))
LPS = np.diag([-1.0, -1.0, 1.0])
PIR = np.eye(3)[:, [1, 2, 0]] @ np.diag([-1, -1, 1.0])
TILTED_LPI = TILT @ np.diag([-1.0, 1.0, -1.0])
#: name -> directions, voxel sizes, shape, number type, upstream's word for the modality, ours
VOLUMES = {
    "RAS CT int16": (np.eye(3), (0.9, 0.9, 2.5), (250, 220, 150), np.int16, "CT", "CT"),
    "LPS CT int16": (LPS, (1.37, 1.37, 3.0), (260, 170, 80), np.int16, "CT", "CT"),
    "PIR PET float32": (PIR, (4.07, 4.07, 4.07), (60, 70, 64), np.float32, "PET", "PT"),
    "oblique MR float32": (TILT, (1.2, 1.9, 2.5), (150, 100, 100), np.float32, "MRI", "MR"),
    "oblique LPI MR uint16": (TILTED_LPI, (2.03, 2.03, 5.1), (90, 110, 40), np.uint16, "MRI", "MR"),
    "anisotropic CT float32": (np.eye(3), (1.5, 2.0, 5.0), (101, 80, 60), np.float32, "CT", "CT"),
}  # fmt: skip


def main(size: str) -> None:
    """Compare all volumes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder)
        random_weights.write(size, folder)
        (folder / "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        ours = network.Sat()
        for number, (volume, about) in enumerate(VOLUMES.items()):
            path = folder / "image.nii.gz"
            write_volume(path, number, *about[:4], background=-1000 if about[5] == "CT" else 0)
            print(
                json.dumps({"volume": volume} | compare(path, about[4], about[5], ours)), flush=True
            )


def compare(path: Path, word: str, modality: str, ours: network.Sat) -> dict[str, object]:
    """Largest differences at each stage."""
    theirs, probabilities = run_upstream(path, word, ours)
    array, affine, _ = _read(path)
    image = Volume(array, affine)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    network_grid = pipeline.network_grid_of(voxel_grid_of(grid))
    start, values = pipeline.network_values(image, network_grid, pipeline.MODALITIES[modality])
    targets = tuple(Target(label, text=label) for label in LABELS)
    request = Request("r", "c", 0, {modality: ImageFile("i", "")}, grid, targets)
    options = choose_options(request, pipeline.OPTIONS)
    prediction = pipeline.predict(image, request, ours, options)
    assert prediction.notes["crop"]["shape"] == list(theirs["image"].shape[1:]), (
        prediction.notes["crop"],
        theirs["image"].shape,
    )
    tie = half_way(network_grid, grid)
    differ = voxels = back_differs = off_ties = back_voxels = 0
    for label, mask in zip(LABELS, theirs["masks"], strict=True):
        back = invert(mask, start, theirs["image"], network_grid, grid)
        put = prediction.masks[label]
        our_mask = pipeline.segment(
            Volume(values, network_grid.affine),
            {label: label.lower()},
            pipeline.MODALITIES[modality],
            ours,
            pipeline.Seconds(),
        )[label]
        differ, voxels = differ + int((our_mask != mask).sum()), voxels + int(mask.sum())
        back_differs, back_voxels = (
            back_differs + int((put != back).sum()),
            back_voxels + int(back.sum()),
        )
        off_ties += int(((put != back) & ~tie).sum())
    return {
        "patches": prediction.notes["crop"]["patches"],
        "input": float(abs(values - theirs["image"][0]).max()),
        "probabilities": probabilities,
        "mask_voxels": voxels,
        "mask_differs": differ,
        "back_voxels": back_voxels,
        "back_differs": back_differs,
        "back_differs_off_ties": off_ties,
    }


def run_upstream(path: Path, word: str, ours: network.Sat):
    """Upstream's dataset and inference: masks, image, and largest difference of probabilities."""
    largest = 0.0

    class Model(torch.nn.Module):
        def forward(self, queries, image_input):
            nonlocal largest
            logits = ours._module(queries, image_input)
            patch = Volume(image_input[0, 0].numpy(), np.eye(4))
            features = ours.features(patch)
            for n in range(queries[0].shape[0]):
                probability = ours.probabilities(features, queries[0][n : n + 1])
                largest = max(
                    largest, float(abs(torch.sigmoid(logits[0, n]).numpy() - probability).max())
                )
            return logits

    class Text(torch.nn.Module):
        def forward(self, labels, modality):
            tower = ours._encoder.text_tower
            tokens = tower.tokenizer.tokenize(labels)
            pooled = tower.mean_pooling(tower.biolord(**tokens), tokens["attention_mask"])
            code = torch.tensor([network.CODES[modality]] * len(labels))
            return ours._encoder.projection_layer(pooled) + ours._encoder.modality_embed(code)

    with tempfile.TemporaryDirectory() as name:
        listed = Path(name, "cases.jsonl")
        listed.write_text(
            json.dumps({"image": str(path), "label": LABELS, "modality": word, "dataset": "d"})
        )
        cases = Inference_Dataset(str(listed), 256, 1)
        results = Path(name, "results")
        results.mkdir()
        inference(Model(), Text(), torch.device("cpu"), cases, [cases[0]], str(results))
        masks = [
            np.asarray(nibabel.load(results / "d/seg_image" / f"{label}.nii.gz").dataobj) > 0
            for label in LABELS
        ]
        return {"image": np.asarray(cases[0]["image"]), "masks": masks}, largest


def invert(mask, start, image, network_grid, grid) -> np.ndarray:
    """Upstream's mask on the image, by MONAI's own inverse of its transforms."""
    image_grid = canonical(voxel_grid_of(grid))
    padded = np.zeros(network_grid.shape, np.float32)
    padded[tuple(slice(n, n + size) for n, size in zip(start, mask.shape, strict=True))] = mask
    tensor = MetaTensor(
        torch.from_numpy(padded)[None], affine=torch.from_numpy(network_grid.affine.copy())
    )
    resample = m.SpatialResample(mode="nearest", padding_mode="border")
    back = resample(
        tensor, dst_affine=torch.from_numpy(image_grid.affine.copy()), spatial_size=image_grid.shape
    )
    axes = nibabel.aff2axcodes(np.array(grid.affine))
    return np.asarray(m.Orientation(axcodes="".join(axes))(back)[0]) > 0.5


def half_way(network_grid, grid) -> np.ndarray:
    """Voxels of the image half-way between two of the network's grid: MONAI rounds either way."""
    across = np.linalg.inv(network_grid.affine) @ np.asarray(grid.affine)
    places = np.tensordot(across[:3, :3], np.indices(grid.shape), 1) + across[:3, 3].reshape(
        3, 1, 1, 1
    )
    return (abs(places - np.floor(places) - 0.5) < 1e-3).any(axis=0)


def write_volume(path: Path, seed: int, directions, sizes, shape, dtype, background) -> None:
    """Smooth noise in a border of air (CT) or of nothing."""
    chance = np.random.default_rng(seed)
    coarse = chance.normal(size=tuple(n // 10 + 2 for n in shape))
    array = zoom(coarse, 10, order=1)[: shape[0], : shape[1], : shape[2]] * 300 + 60
    inner = np.zeros(shape, bool)
    inner[9:-5, 7:-11, 3:-4] = True
    array = np.where(inner, array if background else abs(array), background)
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(sizes)
    affine[:3, 3] = chance.uniform(-200, 200, 3)
    nibabel.save(nibabel.Nifti1Image(array.astype(dtype), affine.astype(np.float32)), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
