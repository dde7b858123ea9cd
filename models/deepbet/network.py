"""deepbet's two networks as published: TorchScript archives, whose code is part of the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo_sdk import Volume
from zoo_sdk.weights import WrongWeights, only_file

#: numbers in each of the two networks, buffers of batch normalisation not counted
PARAMETERS = 2_126_258
FILES = ("bbox_model.pt", "model.pt")


class DeepBet:
    """See ``pipeline.Network``. In single precision on every device, as in upstream's code."""

    def __init__(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._locator, self._segmenter = (
            open_network(only_file(name)).eval().to(self.device) for name in FILES
        )

    def locate(self, head: Volume) -> Any:
        """Probability of brain in the complete image."""
        return self._apply(self._locator, head)

    def segment(self, box: Volume) -> Any:
        """Probability of brain in the box about it."""
        return self._apply(self._segmenter, box)

    @torch.no_grad()
    def _apply(self, module: Any, volume: Volume) -> Any:
        values = torch.from_numpy(np.ascontiguousarray(volume.array)).to(self.device)
        return module(values[None, None])[0, 1].float().cpu().numpy()


def open_network(path: Any) -> Any:
    """A TorchScript network. Raises WrongWeights for a file that is none, or another network."""
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise WrongWeights(
            "%s is not a TorchScript network: %s" % (path.name, str(error)[:300])
        ) from error
    count = sum(parameter.numel() for parameter in module.parameters())
    if count != PARAMETERS:
        raise WrongWeights("%s has %d numbers, not %d" % (path.name, count, PARAMETERS))
    return module
