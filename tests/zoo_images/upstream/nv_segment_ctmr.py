"""Our NV-Segment-CTMR against upstream's, same files, same random weights: a JSON line each.

Without a checkout upstream's steps are taken from the package monai, as the bundle's
configs/inference.json lists them. With a checkout of github.com/NVIDIA-Medtech/NV-Segment-CTMR the
bundle itself is run: its transforms, inferer and evaluator (it wants pytorch-ignite, einops,
nibabel and scikit-image beside what the image has).

    python nv_segment_ctmr.py SIZE [VOLUMES [CHECKOUT]]

VOLUMES are numbers, as 0,2,3.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from monai.apps.vista3d.transforms import VistaPostTransformd
from monai.data import MetaTensor, list_data_collate
from monai.inferers import SlidingWindowInfererAdapt
from monai.transforms import (
    Compose,
    CropForegroundd,
    Invertd,
    Orientationd,
    ScaleIntensityRangePercentilesd,
    Spacingd,
)

ROOT = Path(__file__).parents[3]
FOLDERS = ("models/sdk", "models/nv-segment-ctmr", "models/vista3d")
sys.path[:0] = [*(str(ROOT / folder) for folder in FOLDERS), str(Path(__file__).parent)]

import class_masks  # noqa: E402
import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from volumes import VOLUMES, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read_values  # noqa: E402
from zoo_transforms.resampling import VoxelGrid  # noqa: E402

#: question -> names asked for, options
QUESTIONS = {
    "one class": (("spleen",), {}),
    "union": (("lung",), {}),
    "three classes": (("left kidney", "liver", "right kidney"), {"overlaps": "argmax"}),
}
#: about the object, where the box of what is above zero ends (see vista3d.py)
AIR = {"CT int16": -1000, "PET float32": -5, "MR float32": -5}


def main(size: str, chosen: str = "0,2,3", checkout: str | None = None) -> None:
    """Compare the volumes of these numbers."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMD_WEIGHTS"] = folder
        random_weights.write(size, Path(folder))
        Path(folder, "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        net = network.Vista3d()
        plain = network.build(size).eval()
        plain.load_state_dict(torch.load(Path(folder, "model.pt")), strict=True)
        for number, name in [(int(n), list(VOLUMES)[int(n)]) for n in chosen.split(",")]:
            path, modality = Path(folder, "image.nii.gz"), name.split()[-2]
            write_volume(path, number, *VOLUMES[name], air=AIR.get(" ".join(name.split()[-2:])))
            for question, (names, options) in QUESTIONS.items():
                ours = ask_ours(path, modality, names, options, net)
                numbers = [pipeline.numbers(n, modality) for n in names]
                ask = ask_bundle if checkout else ask_steps
                theirs = ask(path, ours, plain, numbers, checkout)
                line = {"volume": name, "question": question} | compare(ours, theirs, numbers)
                print(json.dumps(line), flush=True)


def ask_ours(path: Path, modality: str, names, options, net):
    """Grids, the view, the classes' logits and the masks on the image's grid."""
    array, affine, _ = _read_values(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    targets = tuple(Target(name, name) for name in names)
    request = Request("r", "c", 0, {modality: ImageFile("i", "HU")}, grid, targets)
    chosen = {name: values[0] for name, values in pipeline.OPTIONS.items()} | options
    memory, image = class_masks.Memory(), Volume(array, affine)
    prediction = pipeline.predict(image, request, net, chosen, memory)
    view = class_masks.prepare(image, VoxelGrid(array.shape, affine), class_masks.OF_THE_BOX)
    logits = {key[1]: value for key, value in memory.logits._values.items()}
    for mask in prediction.masks.values():
        if isinstance(mask, Exception):
            raise mask
    return {"image": image, "grid": grid, "view": view, "logits": logits} | {
        "masks": [prediction.masks[name] for name in names]
    }


@torch.inference_mode()
def ask_steps(_, ours, module, numbers, __):
    """The bundle's steps, from the package monai."""
    steps = Compose(
        [
            Spacingd("image", (1.5, 1.5, 1.5), mode="bilinear"),
            CropForegroundd("image", source_key="image", margin=10, allow_smaller=True),
            ScaleIntensityRangePercentilesd("image", 1, 99, 0, 1, clip=True),
            Orientationd("image", axcodes="RAS", labels=None),
        ]
    )
    affine = ours["image"].affine
    meta = {"affine": torch.from_numpy(affine), "original_affine": affine}
    values = torch.from_numpy(ours["image"].array.copy(order="C"))[None]
    inputs = list_data_collate([steps({"image": MetaTensor(values, meta=meta)})])["image"]
    classes = torch.tensor([n for ids in numbers for n in ids])[:, None]
    logits = SlidingWindowInfererAdapt(
        roi_size=pipeline.EDGES, sw_batch_size=1, with_coord=True, padding_mode="replicate"
    )(inputs, module, transpose=True, class_vector=classes, prompt_class=classes)
    raw = logits.clone()
    item = {"image": inputs[0], "pred": MetaTensor(logits[0], meta=inputs[0].meta)}
    item["label_prompt"] = classes
    item["pred"].applied_operations = inputs[0].applied_operations
    back = Invertd("pred", steps, orig_keys="image", nearest_interp=True, to_tensor=True)
    labels = torch.nan_to_num(Compose([VistaPostTransformd("pred"), back])(item)["pred"], nan=0)
    return inputs, raw, labels[0].numpy()


def ask_bundle(path: Path, ours, module, numbers, checkout):
    """Upstream's bundle: its transforms, inferer and evaluator; no output file is written."""
    from monai.bundle import ConfigParser

    folder = Path(checkout, "NV-Segment-CTMR")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    parser = ConfigParser()
    parser.read_config(folder / "configs/inference.json")
    parser["bundle_root"] = str(folder)
    prompts = [n for ids in numbers for n in ids]
    # the bundle's own number of the lung, which it replaces by the lobes
    prompts = [20] if prompts == list(range(28, 33)) else prompts
    parser["input_dict"] = {"image": str(path), "label_prompt": prompts}
    parser["network_def"] = module
    parser["postprocessing#transforms#4#_disabled_"] = True
    parser["handlers"] = []
    evaluator = parser.get_parsed_content("evaluator")
    recorded, infer = {}, evaluator.inferer

    def record(**arguments):
        recorded["inputs"] = arguments["inputs"]
        raw = infer(**arguments)
        recorded["logits"] = raw.clone()
        return raw

    evaluator.inferer = record
    evaluator.run()
    (prediction,) = evaluator.state.output
    labels = prediction["pred"][0].cpu().numpy()
    return recorded["inputs"], recorded["logits"], np.where(labels == 255, 0, labels)


def compare(ours, theirs, numbers) -> dict[str, object]:
    """Largest differences at each stage."""
    inputs, logits, labels = theirs
    view, grid = ours["view"], ours["grid"]
    theirs_logits = np.asarray(logits[0])
    mine = np.stack([ours["logits"][n] for ids in numbers for n in ids]).astype(np.float32)
    expected = [np.isin(labels, [*ids, 20]) for ids in numbers]
    tie = half_way(VoxelGrid(view.array.shape, view.affine), grid)
    differ = [mask != reference for mask, reference in zip(ours["masks"], expected, strict=True)]
    same = tuple(inputs.shape[2:]) == view.array.shape
    return {
        "view": same,
        "affine": float(abs(np.asarray(inputs.affine[0]) - view.affine).max()),
        "input": float(abs(np.asarray(inputs[0, 0]) - view.array).max()) if same else None,
        "logits": float(abs(mine - theirs_logits).max() / np.ptp(theirs_logits)),
        "signs_differ": int(((mine > 0) != (theirs_logits > 0)).sum()),
        "voxels": int((theirs_logits > 0).sum()),
        "back_differs_off_ties": int(sum((difference & ~tie).sum() for difference in differ)),
        "back_differs": int(sum(difference.sum() for difference in differ)),
        "back_voxels": int(sum(mask.sum() for mask in expected)),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
