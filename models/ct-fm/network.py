"""CT-FM's SegResNet from MONAI, of the sizes in ``config.json``, with strictly loaded weights."""

from __future__ import annotations

import json
from typing import Any, Mapping

import numpy as np
import torch

from zoo_sdk import Volume
from zoo_sdk.weights import WrongWeights, load_strictly, only_file

CLASSES = 118
#: the classes of TotalSegmentator v2 that the project needs
NAMES = {
    1: "spleen",
    2: "kidney_right",
    3: "kidney_left",
    5: "liver",
    6: "stomach",
    7: "pancreas",
    10: "lung_upper_lobe_left",
    11: "lung_lower_lobe_left",
    12: "lung_upper_lobe_right",
    13: "lung_middle_lobe_right",
    14: "lung_lower_lobe_right",
    15: "esophagus",
    20: "colon",
    21: "urinary_bladder",
    51: "heart",
    52: "aorta",
    90: "brain",
}


def build(config: Mapping[str, Any]) -> Any:
    """The network without weights. Raises WrongWeights for a configuration of another model."""
    from monai.networks.nets import SegResNetDS

    if config.get("out_channels") != CLASSES:
        raise WrongWeights(
            "config.json has %s classes; whole-body segmentation has 118"
            % config.get("out_channels")
        )
    return SegResNetDS(**config)


class CtFm:
    """See ``pipeline.Network``. On a GPU in mixed precision, as upstream trains and evaluates."""

    classes = tuple(NAMES.get(number, "class %d" % number) for number in range(CLASSES))

    def __init__(self) -> None:
        from safetensors.torch import load_file

        module = build(json.loads(only_file("config.json").read_text(encoding="utf-8")))
        path = only_file("*.safetensors")
        load_strictly(module, load_file(path), path.name)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = module.eval().to(self.device)

    @torch.no_grad()
    def logits(self, patch: Volume) -> Any:
        """Of each class, float32, on the network's device."""
        values = self.like_logits(np.ascontiguousarray(patch.array))
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            return self._module(values[None, None])[0].float()

    def like_logits(self, array: Any) -> Any:
        """A tensor on the network's device."""
        return torch.from_numpy(array).to(self.device)

    def as_array(self, values: Any) -> Any:
        """In the computer's memory."""
        return values.cpu().numpy()
