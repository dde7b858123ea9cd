"""A checkpoint as it is published, of random numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from network import MADE_ANEW, PREFIX, build

from zoo_sdk.random_weights import SEED


def write(size: str, folder: Path) -> None:
    """Write the checkpoint of a network of this size, as transformers wrote it in 2023."""
    torch.manual_seed(SEED)
    state = build(size).state_dict()
    state[MADE_ANEW] = torch.arange(77)[None]
    torch.save(
        {PREFIX + name: value for name, value in state.items()}, folder / "pytorch_model.bin"
    )
