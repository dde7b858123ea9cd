"""Our LION against the steps of its package (lionz 1.0.7), same files, same random results.

The package's resampling (``image_processing.py``) is SimpleITK's, in chunks of a dask array; an
axis of fewer than 150 voxels is one chunk, and no volume here has a longer one. Its prediction
(``predict.py``) is nnU-Net's preprocessor and predictor. Prints a JSON line for each comparison.

    python lion_steps.py SIZE
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
FOLDERS = ("models/sdk", "models/lion", "models/nnunet")
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

#: numbers of the volumes whose axes have fewer than 150 voxels; all are taken for PET
NUMBERS = (2, 4, 5)


def main(size: str) -> None:
    """Compare all volumes in both orientations for FDG, and one for PSMA."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder / "weights")
        random_weights.write(size, folder / "weights")
        net = network.Lion()
        for number in NUMBERS:
            path = folder / "image.nii.gz"
            write_volume(path, number, *VOLUMES[list(VOLUMES)[number]], air=0)
            for orientation in ("las", "stored"):
                for tracer in ("fdg", "psma") if number == NUMBERS[0] else ("fdg",):
                    line = {"volume": list(VOLUMES)[number], "orientation": orientation}
                    line |= {"tracer": tracer, **compare(path, net, tracer, orientation)}
                    print(json.dumps(line), flush=True)


def compare(path: Path, net: network.Lion, tracer: str, orientation: str) -> dict[str, object]:
    """Differences of the network's input, of its labels, and of the mask on the image."""
    array, affine, _ = _read(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    target = Target(pipeline.TARGET)
    request = Request("r", "c", 0, {"PT": ImageFile("i", "SUVbw")}, grid, (target,))
    options = {"tracer": tracer, "orientation": orientation, "suv": "all"}
    ours = Recorded(net)
    image = Volume(array.astype(np.float32), affine)
    mask = pipeline.predict(image, request, ours, options).masks[pipeline.TARGET]
    if isinstance(mask, Exception):
        raise mask
    values, labels, expected = steps(path, tracer, orientation)
    tie = half_way(VoxelGrid(ours.shown.array.shape, ours.shown.affine), grid)
    return {
        "shape": values.shape == ours.shown.array.shape,
        "input": float(abs(values - ours.shown.array).max() / np.ptp(values)),
        "labels": len(np.unique(labels)),
        "labels_differ": int((labels != ours.labels).sum()),
        "label_voxels": int(labels.size),
        "back_voxels": int(expected.sum()),
        "back_differs": int((expected != mask).sum()),
        "back_differs_off_ties": int(((expected != mask) & ~tie).sum()),
    }


def steps(path: Path, tracer: str, orientation: str):
    """The package's steps: the network's input, its labels (z, y, x), the mask on the image."""
    stored = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    image = stored if orientation == "stored" else SimpleITK.DICOMOrient(stored, "LAS")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    where = find_results(Path(os.environ["UMD_WEIGHTS"], tracer))
    with contextlib.redirect_stdout(io.StringIO()):
        predictor.initialize_from_trained_model_folder(str(where), folds_in(where))
        spacing = predictor.configuration_manager.spacing
        resampled = resampled_by_package(image, spacing)
        values = SimpleITK.GetArrayFromImage(resampled)
        labels = np.asarray(predicted_by_package(predictor, values, spacing))
    lesions = SimpleITK.GetImageFromArray((labels == pipeline.LABELS[tracer]).astype(np.uint8))
    lesions.CopyInformation(resampled)
    back = SimpleITK.Resample(
        lesions, stored, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0.0
    )
    return values, labels, SimpleITK.GetArrayFromImage(back).T > 0


if __name__ == "__main__":
    main(*sys.argv[1:])
