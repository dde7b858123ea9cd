"""The two published archives with random numbers in place of what was learned.

The architecture has no source outside of the archives, so they are read from the package. Each
parameter keeps its mean and deviation, so that activations stay in range.
"""

from __future__ import annotations

from pathlib import Path

import torch
from network import FILES, open_network

from zoo_sdk.random_weights import SEED

PACKAGE = Path("/opt/umd/model-packages/data/models")


def write(size: str, folder: Path, package: Path = PACKAGE) -> None:  # noqa: ARG001
    """Write both networks; they have one size."""
    torch.manual_seed(SEED)
    for name in FILES:
        module = open_network(package / name)
        with torch.no_grad():
            for parameter in module.parameters():
                mean, deviation = parameter.mean(), parameter.std(unbiased=False)
                parameter.copy_(mean + deviation * torch.randn_like(parameter))
        torch.jit.save(module, str(folder / name))
