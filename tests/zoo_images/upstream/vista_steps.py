"""Upstream's steps of VISTA3D and of NV-Segment-CTMR, from the package monai or from a checkout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from monai.apps.vista3d.transforms import VistaPostTransformd
from monai.bundle import ConfigParser
from monai.data import MetaTensor, list_data_collate
from monai.inferers import SlidingWindowInfererAdapt
from monai.transforms import (
    Compose,
    CropForegroundd,
    Invertd,
    Orientationd,
    ScaleIntensityRanged,
    ScaleIntensityRangePercentilesd,
    Spacingd,
)
from volumes import VOLUMES, half_way, write_volume

from zoo_sdk import Grid, Volume
from zoo_transforms.resampling import VoxelGrid

#: about the object, where the box of what is above zero ends. Zero would not do: beside positive
#: voxels MONAI's resampling makes 1e-15 of it, by chance, and its box is then a voxel larger
AIR = {"CT int16": -1000, "PET float32": -5, "MR float32": -5}


def open_networks(size: str, folder: Path, network: ModuleType, random_weights: ModuleType):
    """Our network of random weights written to a folder, and upstream's module with the same."""
    os.environ["UMD_WEIGHTS"] = str(folder)
    random_weights.write(size, folder)
    (folder / "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
    plain = network.build(size).eval()
    plain.load_state_dict(torch.load(folder / "model.pt"), strict=True)
    return network.Vista3d(), plain


def write_numbered(number: int, folder: Path) -> tuple[str, str, Path]:
    """Write the volume of this number; its name, modality and path."""
    name, path = list(VOLUMES)[number], folder / "image.nii.gz"
    air = AIR.get(" ".join(name.split()[-2:]))
    write_volume(path, number, *VOLUMES[name], air=air)
    return name, name.split()[-2], path


def preprocessing(hu: tuple[float, float] | None) -> Compose:
    """Upstream's transforms; intensities by a window of HU, or by percentiles."""
    scale = (
        ScaleIntensityRangePercentilesd("image", 1, 99, 0, 1, clip=True)
        if hu is None
        else ScaleIntensityRanged("image", *hu, 0, 1, clip=True)
    )
    return Compose(
        [
            Spacingd("image", (1.5, 1.5, 1.5), mode="bilinear"),
            CropForegroundd("image", source_key="image", margin=10, allow_smaller=True),
            scale,
            Orientationd("image", axcodes="RAS", labels=None),
        ]
    )


def network_input(image: Volume, steps: Compose) -> MetaTensor:
    """The image as upstream's network gets it, a batch of one."""
    meta = {"affine": torch.from_numpy(image.affine), "original_affine": image.affine}
    values = torch.from_numpy(image.array.copy(order="C"))[None]
    return list_data_collate([steps({"image": MetaTensor(values, meta=meta)})])["image"]


def slide(inputs: MetaTensor, module, edges: tuple[int, ...], **prompts):
    """Logits of upstream's automatic branch, in windows over all of the image."""
    return SlidingWindowInfererAdapt(
        roi_size=edges, sw_batch_size=1, with_coord=True, padding_mode="replicate"
    )(inputs, module, transpose=True, **prompts)


def label_map(inputs: MetaTensor, logits: MetaTensor, steps: Compose, **prompts) -> np.ndarray:
    """Upstream's numbers on the image's grid; ``prompts`` are keys of its transforms."""
    prediction = MetaTensor(logits[0].clone(), meta=inputs[0].meta)
    prediction.applied_operations = inputs[0].applied_operations
    back = Invertd("pred", steps, orig_keys="image", nearest_interp=True, to_tensor=True)
    item = {"image": inputs[0], "pred": prediction, **prompts}
    labels = torch.nan_to_num(Compose([VistaPostTransformd("pred"), back])(item)["pred"], nan=0)
    return labels[0].numpy()


def read_bundle(folder: Path) -> ConfigParser:
    """The configuration of upstream's bundle in a checkout."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    parser = ConfigParser()
    parser.read_config(folder / "configs/inference.json")
    parser["bundle_root"] = str(folder)
    return parser


def run_bundle(
    parser: ConfigParser, inputs: dict[str, object], module, adjust: Callable = lambda _: None
):
    """Run upstream's bundle: its transforms, inferer and evaluator; no output file is written.

    Args:
        parser: of ``read_bundle``.
        inputs: the image's path, and prompts.
        module: the network.
        adjust: changes the evaluator before it runs.

    Returns:
        the network's input, its logits, and upstream's numbers on the image's grid.
    """
    parser["input_dict"] = inputs
    parser["network_def"] = module
    parser["postprocessing#transforms#4#_disabled_"] = True
    parser["handlers"] = []
    evaluator = parser.get_parsed_content("evaluator")
    adjust(evaluator)
    recorded, infer = {}, evaluator.inferer

    def record(**arguments):
        recorded["inputs"] = arguments["inputs"]
        logits = infer(**arguments)
        recorded["logits"] = logits.clone()
        return logits

    evaluator.inferer = record
    evaluator.run()
    (prediction,) = evaluator.state.output
    labels = prediction["pred"][0].cpu().numpy()
    return recorded["inputs"], recorded["logits"], np.where(labels == 255, 0, labels)


def differences(view: Volume, grid: Grid, theirs, mine: np.ndarray, masks, expected):
    """Largest differences at each stage.

    Args:
        view: the image as our network gets it.
        grid: of the image.
        theirs: upstream's input and logits.
        mine: our logits.
        masks: ours on the image's grid.
        expected: upstream's.
    """
    inputs, theirs_logits = theirs[0], np.asarray(theirs[1][0])
    finite = np.isfinite(mine) & np.isfinite(theirs_logits)
    tie = half_way(VoxelGrid(view.array.shape, view.affine), grid)
    differ = [mask != reference for mask, reference in zip(masks, expected, strict=True)]
    same = tuple(inputs.shape[2:]) == view.array.shape
    return {
        "view": same,
        "affine": float(abs(np.asarray(inputs.affine[0]) - view.affine).max()),
        "input": float(abs(np.asarray(inputs[0, 0]) - view.array).max()) if same else None,
        "unknown_differs": int((np.isfinite(mine) != np.isfinite(theirs_logits)).sum()),
        "logits": float(abs(mine - theirs_logits)[finite].max() / np.ptp(theirs_logits[finite])),
        "signs_differ": int(((mine > 0) != (theirs_logits > 0))[finite].sum()),
        "voxels": int((theirs_logits > 0)[finite].sum()),
        "back_differs_off_ties": int(sum((difference & ~tie).sum() for difference in differ)),
        "back_differs": int(sum(difference.sum() for difference in differ)),
        "back_voxels": int(sum(reference.sum() for reference in expected)),
    }
