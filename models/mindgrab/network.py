"""MindGrab's network on torch: 25 dilated convolutions, each normalised, with GELU between."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch
from torch.nn import functional

from zoo_sdk import Volume
from zoo_sdk.weights import load_strictly, network_size, only_file, read_checkpoint

#: channels of each layer, and the layers' dilations; the small network is for tests and takes the
#: same box
SIZES = {"full": (15, (16, 8, 4, 2, 1) * 5), "small": (2, (2, 1))}
CLASSES = 2


class MeshNet(torch.nn.Module):
    """The layers under their published names: ``model.N.0.weight``, and the last ``model.25``."""

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        sizes = [1, *[channels] * len(dilations)]
        layers = [
            torch.nn.Sequential(
                torch.nn.Conv3d(before, after, 3, padding=step, dilation=step, bias=False)
            )
            for before, after, step in zip(sizes, sizes[1:], dilations)
        ]
        self.model = torch.nn.ModuleList([*layers, torch.nn.Conv3d(channels, CLASSES, 1)])

    def forward(self, values: Any) -> Any:
        """Logits (1, 2, ...) of one volume (1, 1, ...)."""
        for layer in self.model[:-1]:
            values = layer(values)
            # group normalisation with one channel to a group; in place, as a box takes 1 GB
            mean = values.mean(dim=(2, 3, 4), keepdim=True)
            variance = values.var(dim=(2, 3, 4), keepdim=True, unbiased=False)
            values.sub_(mean).mul_(torch.rsqrt(variance + 1e-5))
            values = functional.gelu(values, approximate="tanh")
        # upstream's loader drops the last layer's bias, and its results are without it
        return functional.conv3d(values, self.model[-1].weight)


def build(size: str) -> MeshNet:
    """The network without weights."""
    return MeshNet(*SIZES[size])


class MindGrab:
    """See ``pipeline.Network``. In single precision on every device."""

    def __init__(self) -> None:
        path = only_file("*.pth")
        module = build(network_size())
        load_strictly(module, read_checkpoint(path), path.name)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = module.eval().to(self.device)

    def is_brain(self, head: Volume) -> Any:
        """Where the logit of brain is the larger one."""
        values = torch.from_numpy(np.ascontiguousarray(head.array, dtype=np.float32))
        with torch.inference_mode():
            logits = self._module(values[None, None].to(self.device))
            return (logits[0, 1] > logits[0, 0]).cpu().numpy()
