"""Our VISTA3D against upstream's, same files, same random weights: a JSON line for each question.

Without a checkout upstream's steps are taken from the package monai, as the bundle's
configs/inference.json lists them. With a checkout of github.com/NVIDIA-Medtech/NV-Segment-CTMR the
bundle itself is run, evaluator and all (it wants pytorch-ignite, einops, nibabel and scikit-image
beside what the image has); see docs/validation/vista3d.md.

    python vista3d.py SIZE [VOLUMES [CHECKOUT]]

VOLUMES are numbers, as 0,1,2,3,4,5.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from monai.apps.vista3d.inferer import point_based_window_inferer
from monai.apps.vista3d.transforms import VistaPostTransformd
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

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/vista3d"), str(Path(__file__).parent)]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from labels import UNIONS  # noqa: E402
from volumes import VOLUMES, clicks_in, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read_values  # noqa: E402
from zoo_transforms.resampling import VoxelGrid  # noqa: E402

#: question -> names asked for, clicks, options
QUESTIONS = {
    "one class": (("spleen",), 0, {}),
    "union": (("lung",), 0, {}),
    "three classes": (("left kidney", "liver", "right kidney"), 0, {"overlaps": "argmax"}),
    "one click": (("spleen",), 1, {}),
    "three clicks": (("spleen",), 3, {}),
    "zero-shot": (("philtrum",), 3, {}),
    "class, then clicks": (("spleen",), 3, {"clicks": "with-class"}),
}
#: about the object, where the box of what is above zero ends. Zero would not do: beside positive
#: voxels MONAI's resampling makes 1e-15 of it, by chance, and its box is then a voxel larger
AIR = {"CT int16": -1000, "PET float32": -5, "MR float32": -5}
#: seeds of clicks of which one lies in the mask: of a mask in which none does upstream drops
#: nothing if most of it is foreground
CLICKS = 30
#: upstream's numbers for a union, and for what is no class
OTHER_NUMBERS = {"lung": [20], "philtrum": [133]}


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
            path = Path(folder, "image.nii.gz")
            modality = name.split()[-2]
            write_volume(path, number, *VOLUMES[name], air=AIR.get(" ".join(name.split()[-2:])))
            ours = Ours(path, modality, number + CLICKS, net)
            theirs = Theirs(path, ours, plain, checkout)
            for question in QUESTIONS:
                print(
                    json.dumps(
                        {"volume": name, "question": question} | compare(ours, theirs, question)
                    ),
                    flush=True,
                )


class Ours:
    """Our pipeline on one volume."""

    def __init__(self, path: Path, modality: str, seed: int, net: network.Vista3d) -> None:
        array, self.affine, _ = _read_values(path)
        self.image, self.seed, self.modality, self._net = (
            Volume(array, self.affine),
            seed,
            modality,
            net,
        )
        self.grid = Grid(shape=array.shape, affine=tuple(map(tuple, self.affine.tolist())))
        self.scale = "HU window" if modality == "CT" else "percentiles 1 to 99"
        self.view = pipeline.prepare(self.image, VoxelGrid(array.shape, self.affine), self.scale)
        self.memory = pipeline.Memory()

    def ask(self, question: str):
        """Logits in the network's space, and masks on the image's grid."""
        names, clicks, chosen = QUESTIONS[question]
        points = clicks_in(self.grid, self.seed, clicks)
        request = Request(
            "r",
            "c",
            0,
            {self.modality: ImageFile("i", "HU")},
            self.grid,
            tuple(Target(n, n, points) for n in names),
        )
        options = {name: values[0] for name, values in pipeline.OPTIONS.items()} | chosen
        stitched_logits, stitched = [], pipeline.stitched
        pipeline.stitched = lambda *arguments: (
            stitched_logits.append(stitched(*arguments)) or stitched_logits[0].copy()
        )
        try:
            prediction = pipeline.predict(self.image, request, self._net, options, self.memory)
        finally:
            pipeline.stitched = stitched
        numbers = list(chain.from_iterable(map(pipeline.numbers, names)))
        for name in names:
            if isinstance(prediction.masks[name], Exception):
                raise prediction.masks[name]
        cached = {key[1]: value for key, value in self.memory.logits._values.items()}
        return np.stack(stitched_logits or [cached[n] for n in numbers]).astype(np.float32), [
            prediction.masks[name] for name in names
        ]


class Theirs:
    """Upstream's steps on the same volume."""

    def __init__(self, path: Path, ours: Ours, module, checkout: str | None) -> None:
        self._path, self._ours, self._module, self._checkout = path, ours, module, checkout

    def ask(self, question: str):
        """The network's input, its logits, and the label map on the image (upstream's numbers)."""
        names, clicks, _ = QUESTIONS[question]
        points = clicks_in(self._ours.grid, self._ours.seed, clicks)
        prompts_given = {}
        if clicks:
            prompts_given |= {
                "points": [list(p.index) for p in points],
                "point_labels": [int(p.foreground) for p in points],
            }
        if not clicks or question in ("zero-shot", "class, then clicks"):
            prompts_given["label_prompt"] = OTHER_NUMBERS.get(names[0]) or [
                pipeline.numbers(name)[0] for name in names
            ]
        if self._checkout and question != "class, then clicks":
            return run_bundle(
                self._path, self._checkout, self._ours.scale, self._module, prompts_given
            )
        return self._reenact(prompts_given, class_first=question == "class, then clicks")

    @torch.inference_mode()
    def _reenact(self, prompts_given, class_first):
        steps = self._steps()
        meta = {"affine": torch.from_numpy(self._ours.affine), "original_affine": self._ours.affine}
        image = MetaTensor(
            torch.from_numpy(self._ours.image.array.copy(order="C"))[None], meta=meta
        )
        batch = list_data_collate([steps({"image": image, **prompts_given})])
        inputs = batch["image"]
        prompts = {}
        if "label_prompt" in prompts_given:
            numbers = (
                prompts_given["label_prompt"]
                if prompts_given["label_prompt"] != [20]
                else list(UNIONS["lung"])
            )
            prompts["class_vector"] = prompts["prompt_class"] = torch.tensor(numbers)[:, None]
        if "points" in prompts_given:
            across = np.linalg.inv(inputs.affine[0].numpy()) @ self._ours.affine
            places = without_noise(
                (
                    across @ np.c_[prompts_given["points"], np.ones(len(prompts_given["points"]))].T
                ).T[:, :3]
            )
            prompts |= {
                "point_coords": torch.from_numpy(places)[None],
                "point_labels": torch.tensor([prompts_given["point_labels"]]),
            }
        logits = self._infer(inputs, prompts, class_first)
        raw_logits = logits.clone()
        item = {"image": inputs[0], "pred": MetaTensor(logits[0], meta=inputs[0].meta)}
        if "label_prompt" in prompts_given:
            item["label_prompt"] = prompts["prompt_class"]
        if "points" in prompts_given:
            item |= {"points": prompts["point_coords"], "point_labels": prompts["point_labels"]}
        post = Compose(
            [
                VistaPostTransformd("pred"),
                Invertd("pred", steps, orig_keys="image", nearest_interp=True, to_tensor=True),
            ]
        )
        item["pred"].applied_operations = inputs[0].applied_operations
        labels = torch.nan_to_num(post(item)["pred"], nan=0)
        return inputs, raw_logits, labels[0].numpy()

    def _steps(self):
        scale = (
            ScaleIntensityRanged("image", *pipeline.HU, 0, 1, clip=True)
            if self._ours.scale == "HU window"
            else ScaleIntensityRangePercentilesd("image", 1, 99, 0, 1, clip=True)
        )
        return Compose(
            [
                Spacingd("image", (1.5, 1.5, 1.5), mode="bilinear"),
                CropForegroundd("image", source_key="image", margin=10, allow_smaller=True),
                scale,
                Orientationd("image", axcodes="RAS", labels=None),
            ]
        )

    def _infer(self, inputs, prompts, class_first):
        def everywhere(**more):
            return SlidingWindowInfererAdapt(
                roi_size=(128,) * 3, sw_batch_size=1, with_coord=True, padding_mode="replicate"
            )(inputs, self._module, transpose=True, **more)

        if "point_coords" not in prompts:
            return everywhere(**prompts)
        clicks = dict(
            inputs=inputs,
            roi_size=(128,) * 3,
            predictor=self._module,
            mode="gaussian",
            overlap=0.3,
            sw_batch_size=1,
            transpose=True,
            with_coord=True,
            **(prompts | {"class_vector": None}),
        )
        if class_first:
            # in half precision, as ours: where a part of it begins decides what the clicks correct
            clicks["prev_mask"] = (
                everywhere(class_vector=prompts["class_vector"]).as_tensor().half().float()
            )
        return point_based_window_inferer(**clicks)


def without_noise(places):
    """Clicks without rounding noise: upstream truncates them, so noise could cost a voxel."""
    return np.where(abs(places - np.round(places)) < 1e-4, np.round(places), places)


def run_bundle(path: Path, checkout: str, scale: str, module, prompts_given):
    """Run upstream's bundle: its transforms, inferer and evaluator; no output file is written."""
    from monai.bundle import ConfigParser

    folder = Path(checkout, "NV-Segment-CT")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    parser = ConfigParser()
    parser.read_config(folder / "configs/inference.json")
    if scale != "HU window":
        sister = ConfigParser()
        sister.read_config(folder.with_name("NV-Segment-CTMR") / "configs/inference.json")
        parser["preprocessing_transforms"] = sister["preprocessing_transforms"]
        parser["labels_dict"] = None
    parser["bundle_root"] = str(folder)
    parser["input_dict"] = {"image": str(path), **prompts_given}
    parser["network_def"] = module
    parser["postprocessing#transforms#4#_disabled_"] = True
    parser["handlers"] = []
    evaluator = parser.get_parsed_content("evaluator")
    recorded, infer, transform = {}, evaluator.inferer, evaluator.transform_points
    evaluator.transform_points = lambda *arguments: without_noise(transform(*arguments))

    def record(**arguments):
        recorded["inputs"] = arguments["inputs"]
        raw_logits = infer(**arguments)
        recorded["logits"] = raw_logits.clone()
        return raw_logits

    evaluator.inferer = record
    evaluator.run()
    (prediction,) = evaluator.state.output
    labels = prediction["pred"][0].cpu().numpy()
    return recorded["inputs"], recorded["logits"], np.where(labels == 255, 0, labels)


def compare(ours: Ours, theirs: Theirs, question: str) -> dict[str, object]:
    """Largest differences at each stage."""
    inputs, logits, labels = theirs.ask(question)
    mine, masks = ours.ask(question)
    theirs_logits = (
        logits[0].as_tensor().numpy() if isinstance(logits, MetaTensor) else logits[0].numpy()
    )
    finite = np.isfinite(mine) & np.isfinite(theirs_logits)
    names = QUESTIONS[question][0]
    expected = (
        [labels > 0] if len(names) == 1 else [labels == pipeline.numbers(name)[0] for name in names]
    )
    tie = half_way(VoxelGrid(ours.view.array.shape, ours.view.affine), ours.grid)
    differ = [mask != reference for mask, reference in zip(masks, expected, strict=True)]
    same = inputs.shape[2:] == ours.view.array.shape
    return {
        "view": tuple(inputs.shape[2:]) == ours.view.array.shape,
        "affine": float(abs(inputs.affine[0].numpy() - ours.view.affine).max()),
        "input": float(abs(inputs[0, 0].numpy() - ours.view.array).max()) if same else None,
        "unknown_differs": int((np.isfinite(mine) != np.isfinite(theirs_logits)).sum()),
        "logits": float(abs(mine - theirs_logits)[finite].max() / np.ptp(theirs_logits[finite])),
        "signs_differ": int(((mine > 0) != (theirs_logits > 0))[finite].sum()),
        "voxels": int((theirs_logits > 0)[finite].sum()),
        "back_differs_off_ties": int(sum((difference & ~tie).sum() for difference in differ)),
        "back_differs": int(sum(difference.sum() for difference in differ)),
        "back_voxels": int(sum(difference.sum() for difference in expected)),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
