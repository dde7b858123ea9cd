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
import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[3]
FOLDERS = ("models/sdk", "models/nv-segment-ctmr", "models/vista3d")
sys.path[:0] = [*(str(ROOT / folder) for folder in FOLDERS), str(Path(__file__).parent)]

import class_masks  # noqa: E402
import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
import vista_steps  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read_values  # noqa: E402
from zoo_transforms.resampling import VoxelGrid  # noqa: E402

#: question -> names asked for, options
QUESTIONS = {
    "one class": (("spleen",), {}),
    "union": (("lung",), {}),
    "three classes": (("left kidney", "liver", "right kidney"), {"overlaps": "argmax"}),
}


def main(size: str, chosen: str = "1,2,3", checkout: str | None = None) -> None:
    """Compare the volumes of these numbers."""
    with tempfile.TemporaryDirectory() as folder:
        net, module = vista_steps.open_networks(size, Path(folder), network, random_weights)
        for number in map(int, chosen.split(",")):
            name, modality, path = vista_steps.write_numbered(number, Path(folder))
            image, grid = read(path)
            memory = class_masks.Memory()
            for question, (names, options) in QUESTIONS.items():
                numbers = [pipeline.numbers(n, modality) for n in names]
                ids = list(chain.from_iterable(numbers))
                targets = tuple(Target(n, n) for n in names)
                request = Request("r", "c", 0, {modality: ImageFile("i", "HU")}, grid, targets)
                masks, logits = ask_ours(image, request, options, net, memory)
                *theirs, labels = (
                    ask_bundle(path, module, ids, checkout)
                    if checkout
                    else ask_steps(image, module, ids)
                )
                # upstream answers a union of lobes with the number of the lung
                expected = [np.isin(labels, [*of_target, 20]) for of_target in numbers]
                view = class_masks.prepare(
                    image, VoxelGrid(image.array.shape, image.affine), class_masks.OF_THE_BOX
                )
                mine = np.stack([logits[n] for n in ids]).astype(np.float32)
                line = {"volume": name, "question": question}
                line |= vista_steps.differences(view, grid, theirs, mine, masks, expected)
                print(json.dumps(line), flush=True)


def read(path: Path) -> tuple[Volume, Grid]:
    """A volume and its grid, as the adapter gets them."""
    array, affine, _ = _read_values(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    return Volume(array, affine), grid


def ask_ours(image: Volume, request: Request, options, net, memory):
    """Masks on the image's grid, and each class's logits."""
    chosen = {name: values[0] for name, values in pipeline.OPTIONS.items()} | options
    prediction = pipeline.predict(image, request, net, chosen, memory)
    for mask in prediction.masks.values():
        if isinstance(mask, Exception):
            raise mask
    logits = {key[1]: value for key, value in memory.logits._values.items()}
    return [prediction.masks[target.name] for target in request.targets], logits


@torch.inference_mode()
def ask_steps(image: Volume, module, ids):
    """The bundle's steps, from the package monai."""
    steps = vista_steps.preprocessing(hu=None)
    inputs = vista_steps.network_input(image, steps)
    classes = torch.tensor(ids)[:, None]
    logits = vista_steps.slide(
        inputs, module, pipeline.EDGES, class_vector=classes, prompt_class=classes
    )
    labels = vista_steps.label_map(inputs, logits, steps, label_prompt=classes)
    return inputs, logits, labels


def ask_bundle(path: Path, module, ids, checkout: str):
    """Upstream's bundle itself."""
    parser = vista_steps.read_bundle(Path(checkout, "NV-Segment-CTMR"))
    # the bundle's own number of the lung, which it replaces by the lobes
    prompts = [20] if ids == list(range(28, 33)) else ids
    return vista_steps.run_bundle(parser, {"image": str(path), "label_prompt": prompts}, module)


if __name__ == "__main__":
    main(*sys.argv[1:])
