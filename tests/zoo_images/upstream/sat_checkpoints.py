"""How SAT's loader refuses other checkpoints, in the model's image: a JSON line for each.

Upstream takes what fits of each of them (its issue 26).

    python sat_checkpoints.py SIZE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "models/sdk"), str(ROOT / "models/sat-nano")]

import network  # noqa: E402
import random_weights  # noqa: E402

from zoo_sdk.weights import WrongWeights  # noqa: E402

MODALITIES = "module.modality_embed.weight"


def main(size: str) -> None:
    """Try all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_WEIGHTS"] = str(folder)
        random_weights.write(size, folder)
        (folder / "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        paths = {"network": folder / "random.pth", "text": folder / "text/random_text_encoder.pth"}
        good = {which: torch.load(path) for which, path in paths.items()}
        for case, (which, state) in wrong(good).items():
            torch.save(state, paths[which])
            print(json.dumps({"case": case, "refused": refusal()}), flush=True)
            torch.save(good[which], paths[which])


def wrong(good):
    """Checkpoints of other kinds, as the hub has them, and the right one."""
    net, text = (good[which][network.STATE] for which in ("network", "text"))
    atlas = {
        key.replace("module.backbone", "module.atlas_tower"): value for key, value in net.items()
    }
    five = {**text, MODALITIES: torch.zeros(5, 768)}
    # shapes of the other variant
    wider = {
        key: torch.zeros((2 * torch.tensor(value.shape)).tolist())
        for key, value in net.items()
        if "backbone" in key
    }
    cases = {
        "the right ones": ("network", net),
        "pre-training with images as network": ("network", {**text, **atlas}),
        "pre-training with text alone as text encoder": (
            "text",
            {**text, "module.temperature": torch.tensor(2.7)},
        ),
        "text encoder of the CVPR'25 challenge": ("text", five),
        "network of the other variant": ("network", {**net, **wider}),
        "network that lacks a layer": (
            "network",
            {k: v for k, v in net.items() if "transformer_decoder.norm" not in k},
        ),
        "network in the place of the text encoder": ("text", net),
        "text encoder in the place of the network": ("network", text),
    }
    return {case: (which, {network.STATE: state}) for case, (which, state) in cases.items()} | {
        "a state dict alone": ("network", net)
    }


def refusal() -> str | None:
    """Why the networks are not loaded; None if they are."""
    try:
        network.Sat()
    except WrongWeights as error:
        return str(error)
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
