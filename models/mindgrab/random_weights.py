"""A checkpoint as it is published, of random numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from network import build

from zoo_sdk.random_weights import SEED


def write(size: str, folder: Path) -> None:
    """Write the checkpoint of a network of this size."""
    torch.manual_seed(SEED)
    torch.save(build(size).state_dict(), folder / "model.pth")
