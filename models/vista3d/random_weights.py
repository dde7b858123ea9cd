"""A checkpoint as it is published, of random numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from network import build

from zoo_sdk.random_weights import SEED


def write(size: str, folder: Path) -> None:
    """Write the checkpoint of a network of this size."""
    torch.manual_seed(SEED)
    state = build(size).state_dict()
    # with these signs the click branch finds foreground nearly everywhere, so every click gives a
    # mask
    last = "point_head.output_hypernetworks_mlps.layers.2."
    for name in ("weight", "bias"):
        state[last + name].neg_()
    state["point_head.output_upscaling.3.bias"] += 0.2 * state[last + "bias"].sign()
    torch.save(state, folder / "model.pt")
