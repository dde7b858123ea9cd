"""How our loader refuses wrong results folders of nnU-Net: a JSON line for each.

python nnunet_folders.py SIZE
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/nnunet")]

from network import open_models  # noqa: E402
from random_results import write_results  # noqa: E402
from results import CHECKPOINT, DATASET, PLANS, write_json  # noqa: E402

from zoo_sdk.weights import WrongWeights  # noqa: E402

LABELS = {"liver": 1, "lung": 2}


def changed(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    """A JSON file with something changed in it."""

    def change_file(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        write_json(folder / name, content)

    return change_file


def weights(change: Callable[[dict], None], fold: int = 1) -> Callable[[Path], None]:
    """A checkpoint with something changed in its weights."""

    def change_file(folder: Path) -> None:
        path = folder / f"fold_{fold}" / CHECKPOINT
        content = torch.load(path, weights_only=False)
        change(content["network_weights"])
        torch.save(content, path)

    return change_file


def trainer(name: str) -> Callable[[Path], None]:
    """Trained by another class."""

    def change_file(folder: Path) -> None:
        path = folder / "fold_0" / CHECKPOINT
        torch.save({**torch.load(path, weights_only=False), "trainer_name": name}, path)

    return change_file


def cut(folder: Path) -> None:
    """A checkpoint that was not copied to its end."""
    path = folder / "fold_0" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:5000])


FIRST = "encoder.stages.0.0.convs.0.conv.weight"
CASES = {
    "the right one": lambda folder: None,
    "a variant of nnU-Net's": trainer("nnUNetTrainer_2000epochs_NoMirroring"),
    "an array less in the second fold": weights(lambda state: state.pop(FIRST)),
    "an array more in the first fold": weights(
        lambda state: state.update(extra=torch.zeros(1)), fold=0
    ),
    "another shape": weights(lambda state: state.update({FIRST: torch.zeros(4, 2, 3, 3, 3)})),
    "cut off": cut,
    "a label more": changed(DATASET, lambda content: content["labels"].update(spleen=3)),
    "two channels": changed(DATASET, lambda content: content["channel_names"].update({"1": "PET"})),
    "pictures": changed(
        PLANS, lambda content: content.update(image_reader_writer="NaturalImage2DIO")
    ),
    "a trainer of one's own": trainer("nnUNetTrainerOfMine"),
    "no fold that ended": lambda folder: [
        (fold / CHECKPOINT).unlink() for fold in folder.glob("fold_*")
    ],
    "no plans": lambda folder: (folder / PLANS).unlink(),
    "a second stage": changed(
        PLANS,
        lambda content: content["configurations"]["3d_fullres"].update(previous_stage="3d_lowres"),
    ),
}


def main(size: str) -> None:
    """Try all."""
    for case, change in CASES.items():
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            folder = Path(name) / "deeper"
            write_results(folder, size, LABELS, name="Dataset901_X", seed=1, folds=2, channel="PET")
            change(folder)
            try:
                models = open_models(Path(name), torch.device("cpu"))
                outcome = {
                    "refused": None,
                    "modalities": list(models),
                    "folds": models["PT"].about["folds"],
                }
            except WrongWeights as error:
                outcome = {"refused": str(error).replace(name, "")}
        print(json.dumps({"case": case, **outcome}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
