"""How our loader refuses folders that are not nnInteractive's weights: a JSON line for each.

python nninteractive_folders.py SIZE
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/nninteractive")]

import network  # noqa: E402
import random_weights  # noqa: E402

from zoo_sdk.weights import WrongWeights  # noqa: E402

CHECKPOINT = "fold_0/checkpoint_final.pth"
FILES = (CHECKPOINT, "plans.json", "dataset.json", "inference_session_class.json")


def main(size: str) -> None:
    """Try all of them."""
    with tempfile.TemporaryDirectory() as name, redirect_stdout(sys.stderr):
        good, folder = Path(name, "good"), Path(name, "tried")
        os.environ["UMD_WEIGHTS"] = str(folder)
        random_weights.write(size, good)
        shutil.copytree(good, folder)
        say("the right one")
        for case, spoil in cases(good).items():
            shutil.rmtree(folder)
            shutil.copytree(good, folder)
            spoil(folder)
            say(case)


def cases(good: Path):
    """What was done to the folder."""
    checkpoint = torch.load(good / CHECKPOINT)
    state = checkpoint["network_weights"]
    last = list(state)[-1]
    plans = json.loads((good / "plans.json").read_text())
    other_plans = random_weights.make_plans(
        {**random_weights.SIZES["small"], "features_per_stage": [2, 4, 16]}
    )
    states = {
        "a layer is lacking": {key: value for key, value in state.items() if key != last},
        "a layer too many": {**state, "decoder.further.weight": torch.zeros(1)},
        "a layer of another shape": {**state, last: torch.zeros(3)},
        "a network of one channel, as nnU-Net trains": {
            key: value[:, :1] if key.endswith("stem.convs.0.conv.weight") else value
            for key, value in state.items()
        },
    }
    return {
        **{f"no {name}": lambda folder, name=name: Path(folder, name).unlink() for name in FILES},
        **{
            case: lambda folder, state=state: torch.save(
                {**checkpoint, "network_weights": state}, folder / CHECKPOINT
            )
            for case, state in states.items()
        },
        "a state dict alone": lambda folder: torch.save(state, folder / CHECKPOINT),
        "half a checkpoint": lambda folder: half(folder / CHECKPOINT),
        "a page instead of a checkpoint": lambda folder: (folder / CHECKPOINT).write_text(
            "<html>404</html>"
        ),
        "plans of another network": lambda folder: (folder / "plans.json").write_text(
            json.dumps(other_plans)
        ),
        "plans without the configuration": lambda folder: (folder / "plans.json").write_text(
            json.dumps({**plans, "configurations": {"2d": {}}})
        ),
        "a list for plans": lambda folder: (folder / "plans.json").write_text("[]"),
        "two folds": lambda folder: shutil.copytree(folder / "fold_0", folder / "fold_1"),
    }


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def say(case: str) -> None:
    print(json.dumps({"case": case, "refused": refusal()}), file=sys.__stdout__, flush=True)


def refusal() -> str | None:
    """Why the folder is not loaded; None if it is."""
    try:
        network.open_session(torch.device("cpu"))
    except WrongWeights as error:
        return str(error)
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
