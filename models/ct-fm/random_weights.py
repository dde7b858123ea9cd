"""Configuration and weights as they are published, of random numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List, Tuple

import torch
from network import CLASSES, NAMES, build

from zoo_sdk.random_weights import SEED

FIXED = {"spatial_dims": 3, "in_channels": 1, "out_channels": CLASSES, "dsdepth": 4}
SIZES = {
    "full": {"init_filters": 32, "blocks_down": [1, 2, 2, 4, 4]},
    "small": {"init_filters": 4, "blocks_down": [1, 1, 1, 1, 1]},
}


def write(size: str, folder: Path) -> None:
    """Write the files of a network of this size, which finds each of the project's organs."""
    from safetensors.torch import save_file

    torch.manual_seed(SEED)
    config = {**FIXED, **SIZES[size]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    module = build(config).eval()
    part_among_classes(module)
    save_file(module.state_dict(), folder / "model.safetensors")


def part_among_classes(module: Any) -> None:
    """Give each class a position among an example's features; a voxel gets the nearest class.

    Unadjusted random numbers would give all voxels to few classes.
    """
    head = module.up_layers[-1]["head"]
    seen: List[Any] = []
    hook = head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0][0].flatten(1)))
    values, blob = example()
    with torch.no_grad():
        module(values[None, None])
    hook.remove()
    features, inside = seen[0], blob.flatten()
    class_numbers = [0, *NAMES]
    scale = 100 / features.std(1, keepdim=True) ** 2
    # two of three classes are met in the blob
    places = [features[:, choose(inside == bool(turn % 3))] for turn in range(len(class_numbers))]
    head.weight.data[:], head.bias.data[:] = 0, -1e6
    for number, place in zip(class_numbers, places):
        head.weight.data[number] = (place * scale[:, 0]).reshape(head.weight.shape[1:])
        head.bias.data[number] = -0.5 * (place**2 * scale[:, 0]).sum()


def example() -> Tuple[Any, Any]:
    """Values as the network gets them: noise about a blob of 90 to 110 HU; and the blob's mask."""
    values = torch.nn.functional.interpolate(
        torch.rand(1, 1, 8, 16, 16), (32, 64, 64), mode="trilinear"
    )[0, 0]
    i, j, k = torch.meshgrid(
        torch.arange(32.0), torch.arange(64.0), torch.arange(64.0), indexing="ij"
    )
    blob = (i - 16) ** 2 + (j - 32) ** 2 + (k - 32) ** 2 < 14**2
    values[blob] = ((100 + 10 * torch.sin(i / 3 + j / 4) + 1024) / 3072)[blob]
    return values, blob


def choose(where: Any) -> int:
    """A random voxel among those ``where``."""
    candidates = torch.nonzero(where)[:, 0]
    return int(candidates[torch.randint(len(candidates), (1,))])
