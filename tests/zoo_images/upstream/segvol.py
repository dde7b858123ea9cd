"""Our SegVol against upstream's demonstration, same files, same random weights: JSON lines.

Upstream's own ``process_ct_gt`` and ``zoom_in_zoom_out`` are called (its source lies in the model's
image; elsewhere where ``UMD_SEGVOL`` says); what they need beside it (nibabel) comes with
``monai.lock``. They draw prompts from a reference: here they are handed the request's. They put all
on a GPU by name: here that does nothing. Upstream names an orientation and does not bring it about,
so for ``orientation=ras`` it is given a file that is in RAS+ already.

    python segvol.py SIZE [VOLUMES]

VOLUMES are numbers, as 0,1,2,3,4,5.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel
import numpy as np
import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/segvol"), str(Path(__file__).parent)]
os.environ.setdefault("UMD_SEGVOL", "/opt/model/segvol")

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from volumes import VOLUMES, clicks_in, write_volume  # noqa: E402

from zoo_sdk import Box, Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read_values  # noqa: E402

#: question -> text, clicks, with a box, options
QUESTIONS = {
    "text": ("liver", 0, False, {}),
    "text, as stored": ("liver", 0, False, {"orientation": "as-stored"}),
    "one click": (None, 1, False, {}),
    "text and three clicks": ("spleen", 3, False, {}),
    "box": (None, 0, True, {}),
    "text and box, zoomed out": ("left kidney", 0, True, {"zoom": "out"}),
}


def main(size: str, chosen: str = "0,2,3") -> None:
    """Compare the volumes of these numbers."""
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMD_WEIGHTS"] = folder
        random_weights.write(size, Path(folder))
        Path(folder, "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        ours, theirs = network.SegVol(), Theirs(size, Path(folder))
        for number, name in [(int(n), list(VOLUMES)[int(n)]) for n in chosen.split(",")]:
            path = Path(folder, "image.nii.gz")
            write_volume(path, number, *VOLUMES[name], air=-1000 if "CT" in name else None)
            for question in QUESTIONS:
                print(
                    json.dumps(
                        {"volume": name, "question": question}
                        | compare(path, number, question, ours, theirs)
                    )
                )


def request_of(grid: Grid, seed: int, question: str) -> Request:
    """One target."""
    text, clicks, boxed, chosen = QUESTIONS[question]
    low = [int(n * (0.3 + 0.05 * seed)) for n in grid.shape]
    box = Box(
        tuple(low), tuple(n + max(size // 4, 1) for n, size in zip(low, grid.shape, strict=True))
    )
    target = Target("x", text, clicks_in(grid, seed, clicks), box if boxed else None)
    options = (
        {name: values[0] for name, values in pipeline.OPTIONS.items()}
        | {"reflection": "as-published"}
        | chosen
    )
    return Request("r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, (target,), options=options)


def compare(
    path: Path, seed: int, question: str, net: network.SegVol, theirs: Theirs
) -> dict[str, object]:
    """Largest differences at each stage."""
    array, affine, _ = _read_values(path)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    request = request_of(grid, seed, question)
    recorded, logits_of = {}, pipeline._TargetSegmenter.logits

    def record(segmenter):
        recorded["logits"] = logits_of(segmenter)
        recorded["prompt"] = segmenter._squeezed
        return recorded["logits"]

    pipeline._TargetSegmenter.logits = record
    memory = pipeline.Memory()
    try:
        prediction = pipeline.predict(Volume(array, affine), request, net, request.options, memory)
    finally:
        pipeline._TargetSegmenter.logits = logits_of
    if isinstance(prediction.masks["x"], Exception):
        raise prediction.masks["x"]
    (view,) = memory.images._values.values()
    inputs, squeezed, logits = theirs.ask(path, recorded["prompt"], request.options)
    mine = recorded["logits"]
    return {
        "crop": inputs.shape == view.array.shape,
        "input": float(abs(inputs - view.array).max()),
        "squeezed": float(abs(squeezed - pipeline.squeezed(view).array).max()),
        "logits": float(abs(logits - mine).max() / np.ptp(logits)),
        "windows": prediction.notes["targets"]["x"].get("windows", 0),
        "mask_differs": int(((logits > 0) != (mine > 0)).sum()),
        "mask_voxels": int((logits > 0).sum()),
        "back_voxels_lost": int((mine > 0).sum() - prediction.masks["x"].sum()),
    }


class Theirs:
    """Upstream's demonstration, its prompts replaced and its draws those of our pipeline."""

    def __init__(self, size: str, folder: Path) -> None:
        self._folder = folder
        self._module = network.build(size).eval()
        self._module.load_state_dict(
            network.state_of(torch.load(folder / "pytorch_model.bin")), strict=True
        )
        sys.path.insert(0, str(network.upstream()))
        stubs = {"utils.visualize": {"draw_result": None}, "network.model": {"SegVol": None}}
        for name, inside in stubs.items():
            sys.modules[name] = ModuleType(name)
            vars(sys.modules[name]).update(inside)
        sys.modules["segment_anything_volumetric"].sam_model_registry = None
        import data_process.demo_data_process as data
        import inference_demo

        # the demonstration is of MONAI 0.9, which gave an image and its header, and left bare
        # arrays as they were
        data.transforms.LoadImage = partial(data.transforms.LoadImage, image_only=False)
        data.transforms.Orientationd = lambda **_: lambda item: item
        self._data, self._demo = data, inference_demo

    def ask(self, path: Path, prompt: pipeline.Prompt, options):
        """The image's crop, all of it in one view, and the logits of the crop."""
        given = self._folder / "given.nii.gz"
        image = nibabel.load(path)
        nibabel.save(
            nibabel.as_closest_canonical(image) if options["orientation"] == "ras" else image, given
        )
        reference = self._folder / "reference.nii.gz"
        stored = nibabel.load(given)
        nibabel.save(nibabel.Nifti1Image(np.ones(stored.shape, np.uint8), stored.affine), reference)
        name = prompt.text or "x"
        item = self._data.process_ct_gt(str(given), str(reference), [name], pipeline.SHAPE)
        demo = self._demo
        demo.dice_score = lambda *_: 0.0
        demo.select_points = lambda *_, **__: (
            torch.tensor([place for place, _ in prompt.clicks]),
            torch.tensor([kind for _, kind in prompt.clicks]),
        )
        demo.generate_box = lambda *_: torch.tensor(prompt.box)
        chosen = SimpleNamespace(
            spatial_size=pipeline.SHAPE, infer_overlap=0.5, use_text_prompt=prompt.text is not None,
            use_point_prompt=bool(prompt.clicks), use_box_prompt=prompt.box is not None,
            use_zoom_in=options["zoom"] == "out-and-in",
        )  # fmt: skip
        kinds = ("image", "zoom_out_image", "label", "zoom_out_label")
        full_view, view, *labels = (
            torch.from_numpy(np.array(item[kind], dtype=np.float32)) for kind in kinds
        )
        with FixedDraws():
            record = demo.zoom_in_zoom_out(
                chosen,
                self._module,
                full_view[None],
                view[None],
                *(label[None] for label in labels),
                [name],
            )
        return full_view[0].numpy(), view[0].numpy(), record[name][4].numpy()


class FixedDraws:
    """Replaces torch's draws, which upstream makes in pairs for each window, by our pipeline's."""

    def __enter__(self) -> None:
        self._kept = torch.randint, torch.randperm
        torch.randint, torch.randperm = self._one, self._order

    def __exit__(self, *_: object) -> None:
        torch.randint, torch.randperm = self._kept

    def _one(self, count, _):
        self._drawn = np.random.default_rng(0)
        return torch.tensor([self._drawn.integers(count)])

    def _order(self, count):
        return torch.from_numpy(self._drawn.permutation(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
