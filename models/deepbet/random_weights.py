"""The two published archives with random numbers in place of what was learned.

The architecture has no source outside of the archives, so they are read from the package. Each
parameter keeps its mean and deviation, so that activations stay in range.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from network import FILES, open_network

from zoo_sdk.random_weights import SEED

#: of the package, whose wheel puts it beside its modules
FOLDER = "data/models"


def write(size: str, folder: Path) -> None:  # noqa: ARG001
    """Write both networks; they have one size.

    Raises:
        FileNotFoundError: the package deepbet is not on the path.
    """
    torch.manual_seed(SEED)
    folders = [Path(place, FOLDER) for place in sys.path if Path(place, FOLDER, FILES[0]).is_file()]
    if not folders:
        raise FileNotFoundError("%s/%s of the package deepbet" % (FOLDER, FILES[0]))
    package = folders[0]
    for name in FILES:
        module = open_network(package / name)
        with torch.no_grad():
            for parameter in module.parameters():
                mean, deviation = parameter.mean(), parameter.std(unbiased=False)
                parameter.copy_(mean + deviation * torch.randn_like(parameter))
        torch.jit.save(module, str(folder / name))
