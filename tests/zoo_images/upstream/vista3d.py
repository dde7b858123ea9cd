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
import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from monai.apps.vista3d.inferer import point_based_window_inferer

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/vista3d"), str(Path(__file__).parent)]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
import vista_steps  # noqa: E402
from labels import UNIONS  # noqa: E402
from volumes import clicks_in  # noqa: E402

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
#: seeds of clicks of which one lies in the mask: of a mask in which none does upstream drops
#: nothing if most of it is foreground
CLICKS = 30
#: upstream's numbers for a union, and for what is no class
OTHER_NUMBERS = {"lung": [20], "philtrum": [133]}


def main(size: str, chosen: str = "0,2,3", checkout: str | None = None) -> None:
    """Compare the volumes of these numbers."""
    with tempfile.TemporaryDirectory() as folder:
        net, module = vista_steps.open_networks(size, Path(folder), network, random_weights)
        for number in map(int, chosen.split(",")):
            name, modality, path = vista_steps.write_numbered(number, Path(folder))
            ours = Ours(path, modality, number + CLICKS, net)
            theirs = Theirs(path, ours, module, checkout)
            for question in QUESTIONS:
                line = {"volume": name, "question": question} | compare(ours, theirs, question)
                print(json.dumps(line), flush=True)


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
        steps = vista_steps.preprocessing(pipeline.HU if self._ours.scale == "HU window" else None)
        inputs = vista_steps.network_input(self._ours.image, steps)
        prompts, keys = {}, {}
        if "label_prompt" in prompts_given:
            numbers = prompts_given["label_prompt"]
            numbers = list(UNIONS["lung"]) if numbers == [20] else numbers
            prompts["class_vector"] = prompts["prompt_class"] = torch.tensor(numbers)[:, None]
            keys["label_prompt"] = prompts["prompt_class"]
        if "points" in prompts_given:
            across = np.linalg.inv(inputs.affine[0].numpy()) @ self._ours.affine
            voxels = np.c_[prompts_given["points"], np.ones(len(prompts_given["points"]))]
            places = without_noise((across @ voxels.T).T[:, :3])
            keys["points"] = prompts["point_coords"] = torch.from_numpy(places)[None]
            keys["point_labels"] = torch.tensor([prompts_given["point_labels"]])
            prompts["point_labels"] = keys["point_labels"]
        logits = self._infer(inputs, prompts, class_first)
        return inputs, logits, vista_steps.label_map(inputs, logits, steps, **keys)

    def _infer(self, inputs, prompts, class_first):
        if "point_coords" not in prompts:
            return vista_steps.slide(inputs, self._module, pipeline.SHAPE, **prompts)
        clicks = dict(
            inputs=inputs,
            roi_size=pipeline.SHAPE,
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
            of_class = vista_steps.slide(
                inputs, self._module, pipeline.SHAPE, class_vector=prompts["class_vector"]
            )
            clicks["prev_mask"] = of_class.as_tensor().half().float()
        return point_based_window_inferer(**clicks)


def without_noise(places):
    """Clicks without rounding noise: upstream truncates them, so noise could cost a voxel."""
    return np.where(abs(places - np.round(places)) < 1e-4, np.round(places), places)


def run_bundle(path: Path, checkout: str, scale: str, module, prompts_given):
    """Run upstream's bundle; on what is no CT with the transforms of its sister."""
    parser = vista_steps.read_bundle(Path(checkout, "NV-Segment-CT"))
    if scale != "HU window":
        sister = vista_steps.read_bundle(Path(checkout, "NV-Segment-CTMR"))
        parser["preprocessing_transforms"] = sister["preprocessing_transforms"]
        parser["labels_dict"] = None

    def adjust(evaluator):
        transform = evaluator.transform_points
        evaluator.transform_points = lambda *arguments: without_noise(transform(*arguments))

    inputs = {"image": str(path), **prompts_given}
    return vista_steps.run_bundle(parser, inputs, module, adjust)


def compare(ours: Ours, theirs: Theirs, question: str) -> dict[str, object]:
    """Largest differences at each stage."""
    *inputs_and_logits, labels = theirs.ask(question)
    mine, masks = ours.ask(question)
    names = QUESTIONS[question][0]
    expected = (
        [labels > 0] if len(names) == 1 else [labels == pipeline.numbers(name)[0] for name in names]
    )
    return vista_steps.differences(ours.view, ours.grid, inputs_and_logits, mine, masks, expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
