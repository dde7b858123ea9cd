"""Configuration and weights as they are published, of random numbers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from network import CLASSES, NAMES, build

from zoo_sdk.random_weights import SEED

FIXED = {"spatial_dims": 3, "in_channels": 1, "out_channels": CLASSES, "dsdepth": 4}
SIZES = {
    "full": {"init_filters": 32, "blocks_down": [1, 2, 2, 4, 4]},
    "small": {"init_filters": 4, "blocks_down": [1, 1, 1, 1, 1]},
}


def write(size: str, folder: Path) -> None:
    """Write the files of a network of this size; most voxels are given to one of the project's organs, so that there are masks to compare."""
    from safetensors.torch import save_file

    torch.manual_seed(SEED)
    config = {**FIXED, **SIZES[size]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    module = build(config)
    head = module.up_layers[-1]["head"]
    head.weight.data *= 100
    head.bias.data[:] = -1000
    head.bias.data[[0, *NAMES]] = 0
    save_file(module.state_dict(), folder / "model.safetensors")
