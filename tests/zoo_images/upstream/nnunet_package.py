"""Our nnU-Net against its ``predict_from_files``, same files, same random results: JSON lines.

Then the same adapter with nnU-Net's network replaced by one that is always right, patch by patch,
on every grid of ``tests/zoo``: whatever Dice is lost then, resampling there and back and the
sliding window have lost.

    python nnunet_package.py SIZE
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
import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [
    str(Path(__file__).parent),
    str(ROOT),
    str(ROOT / "models/sdk"),
    str(ROOT / "models/nnunet"),
]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from random_results import write_results  # noqa: E402
from results import Results, folds_in  # noqa: E402
from volumes import VOLUMES, write_volume  # noqa: E402

from tests.zoo.bodies import GRIDS, ORGANS, body, dice  # noqa: E402
from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import VoxelGrid, voxel_grid_of, window  # noqa: E402

TARGETS = ("liver", "kidney-right", "lung", "bladder")
#: of the ideal network, (z, y, x) in mm
SPACING = (2.0, 1.5, 1.5)
MODALITY = {"CT": "CT", "MR": "MR", "PET": "PT"}


def main(size: str) -> None:
    """Compare all volumes, then ask the ideal network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder / "weights")
        random_weights.write(size, folder / "weights")
        ours = network.NnUNet()
        for number, (volume, about) in enumerate(VOLUMES.items()):
            modality = MODALITY[next(word for word in MODALITY if word in volume)]
            path = folder / f"case{number}_0000.nii.gz"
            write_volume(path, number, *about, air=0)
            for mirroring in ("on", "off") if number < 2 else ("on",):
                line = {
                    "volume": volume,
                    "mirroring": mirroring,
                    **compare(path, modality, ours, mirroring),
                }
                print(json.dumps(line), flush=True)
        for grid in GRIDS:
            print(
                json.dumps({"ideal": grid, **ideal(grid, folder / grid.replace(" ", "-"))}),
                flush=True,
            )


def compare(path: Path, modality: str, ours: network.NnUNet, mirroring: str) -> dict[str, object]:
    """Voxels of four masks that differ from the file that nnU-Net writes."""
    model = ours.model(modality)
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), use_mirroring=mirroring == "on", allow_tqdm=False
    )
    written = path.with_name("theirs.nii.gz")
    with contextlib.redirect_stdout(io.StringIO()):
        predictor.initialize_from_trained_model_folder(str(model.folder), folds_in(model.folder))
        predictor.predict_from_files(
            [[str(path)]], [str(written)[: -len(".nii.gz")]], False, True, 1, 1
        )
    theirs = np.asarray(nibabel.load(written).dataobj)
    array, affine, _ = _read(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    request = Request(
        "r", "c", 0, {modality: ImageFile("i", "HU")}, grid, tuple(map(Target, TARGETS))
    )
    options = {"mirroring": mirroring, "folds": "all"}
    with contextlib.redirect_stdout(io.StringIO()):
        prediction = pipeline.predict(
            Volume(array.astype(np.float32), affine), request, ours, options
        )
    expected = {name: np.isin(theirs, model.labels[name.replace("-", "_")]) for name in TARGETS}
    return {
        "reader": model.reader,
        "labels": len(np.unique(theirs)),
        "voxels": int(sum(mask.sum() for mask in expected.values())),
        "differs": int(
            sum((prediction.masks[name] != mask).sum() for name, mask in expected.items())
        ),
    }


def _first_voxel(slicer, before) -> list[int]:
    """First voxel of a patch in the volume, which is padded by ``before``."""
    return [side.start - n for side, n in zip(slicer, before, strict=True)]


class Ideal(torch.nn.Module):
    """Answers each patch from the reference, after a check that the patch lies where it should."""

    def __init__(self, phantom, network_grid: VoxelGrid, predictor: nnUNetPredictor) -> None:
        super().__init__()
        self.phantom, self.network_grid, self.patches_seen = phantom, network_grid, 0
        self._slicers = predictor._internal_get_sliding_window_slicers
        predictor._internal_get_sliding_window_slicers = self.slicers

    def load_state_dict(self, *_, **__):
        """Nothing is learned here."""

    def slicers(self, padded):
        """nnU-Net's patches, whose positions are stored: padded, resampled as by skimage."""
        slicers = self._slicers(padded)
        patch = tuple(side.stop - side.start for side in slicers[0][1:])
        shape = [
            round(o / s * n)
            for o, s, n in zip(
                self.network_grid.spacing, SPACING, self.network_grid.shape, strict=True
            )
        ]
        ratio = np.array(self.network_grid.shape) / shape
        step = np.diag([*ratio, 1.0])
        step[:3, 3] = ratio / 2 - 0.5
        resampled_grid = VoxelGrid(tuple(shape), self.network_grid.affine @ step)
        before = [(size - side) // 2 for size, side in zip(padded, shape, strict=True)]
        starts = [_first_voxel(slicer[1:], before) for slicer in slicers]
        self.patches = iter([window(resampled_grid, start, patch) for start in starts])
        return slicers

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Logits."""
        volume = Volume(values[0, 0].numpy(), next(self.patches).affine)
        labels = self.phantom.labels_in(volume)
        self.phantom.shows(volume)
        self.patches_seen += 1
        return (
            8
            * torch.nn.functional.one_hot(
                torch.from_numpy(labels.astype(np.int64)), len(ORGANS) + 1
            )
            .movedim(-1, 0)[None]
            .float()
        )


def ideal(name: str, folder: Path) -> dict[str, object]:
    """Dice of each organ with an ideal network on one grid."""
    phantom = body(name)
    labels = {organ: value for value, organ in enumerate(ORGANS, 1)}
    reader = "NibabelIOWithReorient" if "oblique" in name else "SimpleITKIO"
    write_results(
        folder,
        "small",
        labels,
        name="Dataset999_Ideal",
        seed=0,
        channel="image",
        spacing=SPACING,
        reader=reader,
    )
    model = Results(folder, torch.device("cpu"))
    network_grid = pipeline.network_grid_of(voxel_grid_of(phantom.grid), model.orientation)
    ideal_network = model._predictor.network = Ideal(phantom, network_grid, model._predictor)
    network_of_all = type("Known", (), {"model": lambda self, modality: model})()
    with contextlib.redirect_stdout(io.StringIO()):
        prediction = pipeline.predict(
            phantom.image,
            phantom.request(*ORGANS),
            network_of_all,
            {"mirroring": "off", "folds": "all"},
        )
    scores = {organ: dice(prediction.masks[organ], phantom.mask(organ)) for organ in ORGANS}
    large = [value for organ, value in scores.items() if phantom.volumes_ml[organ] > 50]
    small = [value for organ, value in scores.items() if phantom.volumes_ml[organ] <= 50]
    return {
        "reader": reader,
        "patches": ideal_network.patches_seen,
        "worst_large": min(large),
        "worst_small": min(small),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
