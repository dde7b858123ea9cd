"""Our VIBESegmentator against TPTBox 1.1.0, same files, same random weights: JSON lines.

All of upstream's way is called, as its command calls it: turning, scaling, resampling, margin, its
copy of nnU-Net's predictor, and the way back to the image.

    python vibesegmentator_package.py SIZE
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

ROOT = Path(__file__).parents[3]
FOLDERS = ("models/sdk", "models/vibesegmentator", "models/nnunet")
sys.path[:0] = [*(str(ROOT / folder) for folder in FOLDERS), str(Path(__file__).parent)]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from TPTBox.segmentation.nnUnet_utils.predictor import nnUNetPredictor  # noqa: E402
from TPTBox.segmentation.VibeSeg.vibeseg import run_inference_on_file, to_nii  # noqa: E402
from volumes import VOLUMES, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import VoxelGrid  # noqa: E402

NAMES = ("LPS CT int16", "oblique MR float32", "oblique LPI MR uint16")
#: the intensities of the last volume are multiplied by this, too, which needs upstream's scaling
BRIGHTER = 20


class Recorded:
    """Our network, which keeps what it was shown and what it answered."""

    def __init__(self, ours: network.VibeSegmentator) -> None:
        self._ours = ours
        self.orientation, self.spacing = ours.orientation, ours.spacing

    def label_map(self, image: Volume) -> np.ndarray:
        """The labels of an image."""
        self.shown = image
        with contextlib.redirect_stdout(io.StringIO()):
            self.labels = np.asarray(self._ours.label_map(image))
        return self.labels


def main(size: str) -> None:
    """Compare each volume, the last one brightened, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder / "weights")
        random_weights.write(size, folder / "weights")
        ours = network.VibeSegmentator()
        results = folder / "Dataset100"
        results.mkdir()
        network.merge_archives(folder / "weights", results)
        for number, volume in enumerate(NAMES):
            path = folder / (f"image{number}.nii.gz")
            write_volume(path, number, *VOLUMES[volume], air=-1000.0 if "CT" in volume else 0)
            print(json.dumps({"volume": volume, **compare(path, ours, results)}), flush=True)
        image = nibabel.load(path)
        brighter = np.asarray(image.dataobj, np.float32) * BRIGHTER
        nibabel.save(nibabel.Nifti1Image(brighter, image.affine), path)
        line = {"volume": volume + ", brighter", "brightest": float(brighter.max())}
        print(json.dumps({**line, **compare(path, ours, results)}), flush=True)


def compare(path: Path, ours: network.VibeSegmentator, results: Path) -> dict[str, object]:
    """Differences of the network's input, of its labels, and of the organs on the image."""
    array, affine, _ = _read(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    targets = tuple(map(Target, pipeline.ORGANS))
    request = Request("r", "c", 0, {"MR": ImageFile("i", "a.u.")}, grid, targets)
    recorded = Recorded(ours)
    image = Volume(array.astype(np.float32), affine)
    masks = pipeline.predict(image, request, recorded, {}).masks
    values, labels, on_image = steps(path, results)
    expected = {organ: np.isin(on_image, labels) for organ, labels in pipeline.ORGANS.items()}
    shown = recorded.shown
    tie = half_way(VoxelGrid(shown.array.shape, shown.affine), grid)
    wrong = {organ: masks[organ] != mask for organ, mask in expected.items()}
    apart = abs(values.astype(np.float32) - shown.array)
    return {
        "shape": values.shape == shown.array.shape,
        "input": float((apart / np.maximum(abs(shown.array), 1)).max()),
        "input_differs": int((apart > 0).sum()),
        "input_voxels": int(apart.size),
        "labels": len(np.unique(labels)),
        "labels_differ": int((labels != recorded.labels).sum()),
        **behind(ours._results._predictor, shown, labels),
        "label_voxels": int(labels.size),
        "back_voxels": int(sum(mask.sum() for mask in expected.values())),
        "back_differs": int(sum(mask.sum() for mask in wrong.values())),
        "back_differs_off_ties": int(sum((mask & ~tie).sum() for mask in wrong.values())),
    }


def behind(predictor: Any, shown: Volume, labels: np.ndarray) -> dict[str, float]:
    """How far upstream's labels are behind our best ones: logits, and their standard deviation.

    Upstream normalises in 16 bits, and adds patches in 16 bits with weights up to 1000.
    """
    manager = predictor.configuration_manager
    preprocessor = manager.preprocessor_class(verbose=False)
    about = (predictor.plans_manager, manager, predictor.dataset_json)
    properties = {"spacing": list(shown.spacing)}
    with contextlib.redirect_stdout(io.StringIO()):
        data, _, properties = preprocessor.run_case_npy(shown.array[None], None, properties, *about)
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data)).float()
    inside = tuple(slice(*ends) for ends in properties["bbox_used_for_cropping"])
    theirs = torch.from_numpy(labels[inside].astype(np.int64))[None]
    apart = logits.max(dim=0).values - logits.gather(0, theirs)[0]
    return {"logit_behind": float(apart.max()), "logits_sd": float(logits.std())}


def steps(path: Path, results: Path):
    """Upstream: the network's input and its labels (z, y, x), the labels on the image."""
    record = {}
    predict = nnUNetPredictor.predict_single_npy_array

    def watched(self, input_image, *arguments, **options):
        record["input"] = input_image[0].copy()
        record["labels"] = predict(self, input_image, *arguments, **options)
        return record["labels"]

    nnUNetPredictor.predict_single_npy_array = watched
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            segmentation, _ = run_inference_on_file(
                results,
                [to_nii(str(path))],
                ddevice="cpu",
                padd=5,
                memory_base=5500,
                memory_factor=25,
                verbose=False,
            )
    finally:
        nnUNetPredictor.predict_single_npy_array = predict
    return record["input"], record["labels"], segmentation.get_array()


if __name__ == "__main__":
    main(*sys.argv[1:])
