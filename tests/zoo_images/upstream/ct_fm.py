"""Our CT-FM against upstream's, same files, same random weights: a JSON line for each case.

Upstream's evaluation is a list of MONAI's transforms and its sliding window (project-lighter/CT-FM
at f58c89a, evaluation/totalseg.yaml and overrides/totalseg_predict_overrides.yaml); they are called
here in its order with its arguments, and undone by MONAI's ``Invertd``. The network is
``lighter_zoo.SegResNet.from_pretrained`` on the folder that our random weights were written to,
which is the package's own way; it, and what MONAI needs to read files, come with ``ct_fm.lock``.

    python ct_fm.py SIZE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import monai.transforms as m
import numpy as np
import torch
from lighter_zoo import SegResNet
from monai.inferers import SlidingWindowInfererAdapt

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/ct-fm")]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from volumes import VOLUMES, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read  # noqa: E402
from zoo_transforms.resampling import voxel_grid_of, window  # noqa: E402

CASES = [
    ("RAS CT int16", "1.5mm"),
    ("LPS CT int16", "native"),
    ("PIR PET float32", "1.5mm"),
    ("oblique MR float32", "native"),
]


def main(size: str) -> None:
    """Compare all volumes; of other modalities only the grid and the number type are used."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder)
        random_weights.write(size, folder)
        (folder / "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        ours, theirs = network.CtFm(), SegResNet.from_pretrained(str(folder)).eval()
        for number, (volume, spacing) in enumerate(CASES):
            path = folder / "image.nii.gz"
            write_volume(path, number, *VOLUMES[volume], air=-1500)
            print(
                json.dumps(
                    {"volume": volume, "spacing": spacing} | compare(path, spacing, ours, theirs)
                ),
                flush=True,
            )


def compare(
    path: Path, spacing: str, ours: network.CtFm, theirs: torch.nn.Module
) -> dict[str, object]:
    """Largest differences at each stage."""
    values, logits, labels, back = run_upstream(path, spacing, theirs)
    array, affine, _ = _read(path)
    image, grid = (
        Volume(array, affine),
        Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist()))),
    )
    network_grid = pipeline.network_grid_of(voxel_grid_of(grid), spacing)
    start, our_values = pipeline.network_values(image, network_grid)
    our_labels = pipeline.label(
        Volume(our_values, window(network_grid, start, our_values.shape).affine), ours
    )
    chosen = np.take_along_axis(logits, our_labels[None].astype(np.int64), axis=0)[0]
    request = Request(
        "r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, tuple(map(Target, pipeline.ORGANS))
    )
    prediction = pipeline.predict(image, request, ours, {"spacing": spacing})
    tie = half_way(network_grid, grid)
    differ = off_ties = voxels = 0
    for organ, classes in pipeline.ORGANS.items():
        mask = np.isin(back, [ours.classes.index(name) for name in classes])
        wrong = mask != prediction.masks[organ]
        differ, off_ties, voxels = (
            differ + int(wrong.sum()),
            off_ties + int((wrong & ~tie).sum()),
            voxels + int(mask.sum()),
        )
    return {
        "crop": list(our_values.shape) == list(values.shape),
        "windows": len(pipeline.covering(our_values.shape, pipeline.WINDOW, pipeline.SHARE)),
        "input": float(abs(our_values - values).max()),
        "classes": len(np.unique(labels)),
        "labels": labels.size,
        "labels_differ": int((our_labels != labels).sum()),
        "logit_behind": float((logits.max(axis=0) - chosen).max()),
        "back_voxels": voxels,
        "back_differs": differ,
        "back_differs_off_ties": off_ties,
    }


def run_upstream(path: Path, spacing: str, theirs: torch.nn.Module):
    """Upstream's network values, their logits and labels, and the label map on the image."""
    # its images come at 1.5 mm; allow_smaller was MONAI's default when it was written
    steps = [
        m.LoadImaged(keys="input", ensure_channel_first=True),
        m.EnsureTyped(keys="input"),
        m.Orientationd(keys="input", axcodes="SPL"),
        *([m.Spacingd(keys="input", pixdim=(1.5, 1.5, 1.5))] if spacing == "1.5mm" else []),
        m.ScaleIntensityRanged(keys="input", a_min=-1024, a_max=2048, b_min=0, b_max=1, clip=True),
        m.CropForegroundd(keys="input", source_key="input", margin=10, allow_smaller=True),
    ]
    before = m.Compose(steps)
    data = before({"input": str(path)})
    inferer = SlidingWindowInfererAdapt(
        roi_size=(96, 160, 160), sw_batch_size=2, overlap=0.625, mode="gaussian"
    )
    with torch.inference_mode():
        logits = inferer(data["input"][None].as_tensor(), theirs)
    data["target"] = m.AsDiscrete(argmax=True, dtype=torch.int32)(
        m.Activations(softmax=True)(logits[0])
    )
    labels = np.asarray(data["target"][0])
    undone = m.Invertd(keys="target", orig_keys="input", transform=before)(data)["target"]
    return np.asarray(data["input"][0]), logits[0].numpy(), labels, np.asarray(undone[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
