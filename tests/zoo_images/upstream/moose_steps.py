"""Our MOOSE against the steps of its package (moosez 3.2.2), same files, same random results.

The package's resampling (``image_processing.py``) is SimpleITK's, in chunks of a dask array; an
axis of fewer than 150 voxels is one chunk, and no volume here has a longer one. Its prediction
(``predict.py``) is nnU-Net's preprocessor and predictor, in chunks from 350 voxels on. Prints a
JSON line for each comparison.

    python moose_steps.py SIZE
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK
import torch

ROOT = Path(__file__).parents[3]
FOLDERS = ("models/sdk", "models/moose", "models/nnunet")
sys.path[:0] = [*(str(ROOT / folder) for folder in FOLDERS), str(Path(__file__).parent)]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from enhance_steps import Recorded, predicted_by_package, resampled_by_package  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from results import find_results, folds_in  # noqa: E402
from volumes import VOLUMES, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import VoxelGrid  # noqa: E402

#: volumes whose axes have fewer than 150 voxels, all taken for CT, and the number type of the file
SHAPES = {
    "LPS int16": ((0, 1, 2), (-1, -1, 1), (0, 0, 0), (1.9, 1.9, 3.0), (120, 110, 60), np.int16),
    "oblique LPI int16": (*VOLUMES["oblique LPI MR uint16"][:-1], np.int16),
    "PIR float32": VOLUMES["PIR PET float32"],
}


def main(size: str) -> None:
    """Compare all three models on each volume."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder / "weights")
        random_weights.write(size, folder / "weights")
        net = network.Moose()
        for number, (volume, about) in enumerate(SHAPES.items()):
            path = folder / "image.nii.gz"
            write_volume(path, number, *about, air=-1000)
            for model in network.MODELS:
                line = {"volume": volume, "model": model, **compare(path, net, model)}
                print(json.dumps(line), flush=True)


def compare(path: Path, net: network.Moose, model: str) -> dict[str, object]:
    """Differences of the network's input, of its labels, and of the organs on the image."""
    array, affine, _ = _read(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    organs = [organ for organ, (where, _) in pipeline.ORGANS.items() if where == model]
    request = Request("r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, tuple(map(Target, organs)))
    ours = Recorded(net)
    image = Volume(array.astype(np.float32), affine)
    masks = pipeline.predict(image, request, ours, {}).masks
    values, whole, labels, on_image = steps(path, model)
    expected = {organ: np.isin(on_image, pipeline.ORGANS[organ][1]) for organ in organs}
    tie = half_way(VoxelGrid(ours.shown.array.shape, ours.shown.affine), grid)
    wrong = {organ: masks[organ] != mask for organ, mask in expected.items()}
    apart = abs(values - ours.shown.array)
    return {
        "shape": values.shape == ours.shown.array.shape,
        "input": float(apart.max()),
        "input_differs": int((apart > 1e-2).sum()),
        "input_differs_off_whole_numbers": int(((apart > 1e-2) & ~whole).sum()),
        "labels": len(np.unique(labels)),
        "labels_differ": int((labels != ours.labels).sum()),
        "label_voxels": int(labels.size),
        "back_voxels": int(sum(mask.sum() for mask in expected.values())),
        "back_differs": int(sum(mask.sum() for mask in wrong.values())),
        "back_differs_off_ties": int(sum((mask & ~tie).sum() for mask in wrong.values())),
    }


def steps(path: Path, model: str):
    """The package's steps: the network's input, its labels (z, y, x), the labels on the image.

    Second: where the spline gives a whole number, so that its last bit decides which integer
    stands in the input.
    """
    stored = SimpleITK.ReadImage(str(path))
    image = SimpleITK.DICOMOrient(stored, "RAS")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    where = find_results(Path(os.environ["UMD_WEIGHTS"], model))
    with contextlib.redirect_stdout(io.StringIO()):
        predictor.initialize_from_trained_model_folder(str(where), folds_in(where))
        spacing = predictor.configuration_manager.spacing
        resampled = resampled_by_package(image, spacing[::-1])
        values = SimpleITK.GetArrayFromImage(resampled)
        fractions = SimpleITK.GetArrayFromImage(
            resampled_by_package(SimpleITK.Cast(image, SimpleITK.sitkFloat64), spacing[::-1])
        )
        labels = np.asarray(predicted_by_package(predictor, values, spacing))
    segmentation = SimpleITK.GetImageFromArray(labels)
    segmentation.CopyInformation(resampled)
    back = SimpleITK.Resample(
        segmentation, image, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0.0
    )
    code = SimpleITK.DICOMOrientImageFilter_GetOrientationFromDirectionCosines(
        stored.GetDirection()
    )
    turned_back = SimpleITK.DICOMOrient(back, code)
    whole = abs(fractions - np.rint(fractions)) < 1e-3
    return values, whole, labels, SimpleITK.GetArrayFromImage(turned_back).T


if __name__ == "__main__":
    main(*sys.argv[1:])
