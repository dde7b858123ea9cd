"""Our TotalSegmentator against the package's ``nnUNet_predict_image``, same random results.

All of upstream's way is called: its resampling, nnU-Net's ``predict_from_files`` for each part, the
union of the parts, the way back. Ours answers first, as the package changes nnU-Net's predictor
when it is imported. What it imports for DICOM alone is stood in for.

    python totalsegmentator_package.py SIZE
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).parents[3]
sys.path[:0] = [
    str(folder)
    for folder in (
        Path(__file__).parent,
        ROOT / "models/sdk",
        ROOT / "models/totalsegmentator",
        ROOT / "models/nnunet",
    )
]
#: nnU-Net asks for it when it is imported; its processes inherit it
RESULTS = os.environ.setdefault("UMD_TEST_RESULTS", tempfile.mkdtemp())
os.environ["nnUNet_results"] = RESULTS  # noqa: SIM112

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from nnunetv2.inference import predict_from_raw_data  # noqa: E402
from results import find_trainer  # noqa: E402
from totalsegmentator.map_tasks_config import TASK_CONFIGS  # noqa: E402
from volumes import VOLUMES, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Prediction, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import canonical, voxel_grid_of  # noqa: E402

#: our target -> the labels that the design names for it, by number
TARGETS = {
    "CT": {
        "liver": [5],
        "kidney-left": [3],
        "kidney-right": [2],
        "lung": [10, 11, 12, 13, 14],
        "heart": [51],
        "bladder": [21],
        "brain": [90],
    },
    "MR": {
        "liver": [5],
        "kidney-left": [3],
        "kidney-right": [2],
        "lung": [10, 11],
        "heart": [22],
        "bladder": [16],
        "brain": [50],
    },
}
TASKS = {"CT": "total", "MR": "total_mr"}


class Watched(network.TotalSegmentator):
    """Ours, which remembers what its parts were given."""

    def __init__(self) -> None:
        super().__init__()
        self.network_input: list[np.ndarray] = []
        for task in self._tasks.values():
            task.label_map = self.watched(task.label_map)

    def watched(self, label_map):
        """The same, and what it was asked is remembered."""

        def remember(part, image):
            self.network_input.append(image.array)
            return label_map(part, image)

        return remember


def main(size: str) -> None:
    """Compare the volumes of CT and MR."""
    folder = Path(RESULTS) / "weights"
    os.environ["UMD_WEIGHTS"] = str(folder)
    random_weights.write(size, folder)
    for dataset in folder.glob("*/Dataset*"):
        (Path(RESULTS) / dataset.name).symlink_to(dataset)
    with contextlib.redirect_stdout(io.StringIO()):
        answers = list(ask_ours())
        upstream = open_upstream()
    for volume, path, request, prediction, network_input in answers:
        print(
            json.dumps(
                {"volume": volume, **compare(path, request, prediction, network_input, upstream)}
            ),
            flush=True,
        )


def ask_ours():
    """Each volume's file, request, our answer, and what the first network was given."""
    ours = Watched()
    for number, (volume, about) in enumerate(VOLUMES.items()):
        modality = "CT" if "CT" in volume else "MR"
        if "PET" in volume:
            continue
        path = Path(RESULTS) / f"image{number}.nii.gz"
        write_volume(path, number, *about, air=-1000.0 if modality == "CT" else 0)
        array, affine, _ = _read(path)
        grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
        request = Request(
            "r",
            "c",
            0,
            {modality: ImageFile("i", "HU")},
            grid,
            tuple(map(Target, TARGETS[modality])),
        )
        ours.network_input.clear()
        prediction = pipeline.predict(
            Volume(array.astype(np.float32), affine), request, ours, {"parts": "all"}
        )
        yield volume, path, request, prediction, ours.network_input[0]


def compare(
    path: Path, request: Request, prediction: Prediction, network_input: np.ndarray, upstream
) -> dict[str, object]:
    """Differences of the networks' input and of seven masks; ties are counted separately."""
    modality = next(iter(request.images))
    task = TASKS[modality]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs, shown = labels_of(path, task, upstream)
    ties = half_way(
        pipeline.respaced_between_corners(canonical(voxel_grid_of(request.grid))), request.grid
    )
    expected = {name: np.isin(theirs, values) for name, values in TARGETS[modality].items()}
    differing = [prediction.masks[name] != mask for name, mask in expected.items()]
    return {
        "input": float(abs(shown.T - network_input).max())
        if shown.T.shape == network_input.shape
        else None,
        "labels": len(np.unique(theirs)),
        "classes": len(upstream.class_map[task]),
        "empty": sum(not mask.any() for mask in expected.values()),
        "voxels": int(sum(mask.sum() for mask in expected.values())),
        "differs": int(sum(differences.sum() for differences in differing)),
        "differs_off_ties": int(sum((differences & ~ties).sum() for differences in differing)),
    }


def open_upstream():
    """Upstream's module, with our search for trainers, as upstream's needs more packages."""
    for absent in ("dicom2nifti", "pydicom", "xmltodict"):
        sys.modules.setdefault(absent, types.ModuleType(absent))
    upstream = importlib.import_module("totalsegmentator.nnunet")
    predict_from_raw_data.recursive_find_trainer_class_by_name = find_trainer
    return upstream


def labels_of(path: Path, task: str, upstream) -> tuple[np.ndarray, np.ndarray]:
    """Upstream's label map by its command without options, and the image that nnU-Net gets."""
    how = TASK_CONFIGS[task]["sub_modes"]["default"]
    shown = []
    predict = upstream.nnUNetv2_predict

    def watched(folder, *others, **options):
        shown.append(nibabel.load(Path(folder) / "s01_0000.nii.gz").get_fdata())
        return predict(folder, *others, **options)

    upstream.nnUNetv2_predict = watched
    image, *_ = upstream.nnUNet_predict_image(
        path,
        None,
        how["task_id"],
        folds=[0],
        trainer=how["trainer"],
        task_name=task,
        resample=how["resample"],
        nr_threads_resampling=1,
        nr_threads_saving=1,
        device="cpu",
        quiet=True,
    )
    upstream.nnUNetv2_predict = predict
    return np.asarray(image.dataobj), shown[0]


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    finally:
        shutil.rmtree(RESULTS)
