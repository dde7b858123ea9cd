"""VoxTell's network from its package, with strictly loaded weights.

The published bank of text embeddings replaces the text encoder Qwen.
"""

from __future__ import annotations

import json
import pydoc
from typing import Any, Dict, Mapping

import numpy as np
import torch

from zoo_sdk import Volume
from zoo_sdk.weights import WrongWeights, load_strictly, network_size, only_file, read_checkpoint

#: as the package's predictor makes it; the small network is for tests, and takes the same patch
SIZES: Dict[str, Dict[str, int]] = {
    "full": {"num_heads": 32, "query_dim": 2048, "project_to_decoder_hidden_dim": 2048},
    "small": {"num_heads": 1, "query_dim": 64, "project_to_decoder_hidden_dim": 64},
}
#: of Qwen3-Embedding-4B
TEXT_DIMENSIONS = 2560
PATCH = [192, 192, 192]
STATE = "network_weights"
FOLDER = "voxtell_*"


def build(plans: Mapping[str, Any], size: str) -> Any:
    """The network without weights, as ``plans.json`` defines it; raises WrongWeights for others."""
    from voxtell.model.voxtell_model import VoxTellModel

    try:
        configuration = plans["configurations"]["3d_fullres"]
        patch, architecture = configuration["patch_size"], configuration["architecture"]
        sizes = {**architecture["arch_kwargs"]}
        for name in architecture["_kw_requires_import"]:
            sizes[name] = _class_of_torch(sizes[name])
    except (KeyError, TypeError) as error:
        raise WrongWeights("plans.json is none of VoxTell's: it lacks %s" % error) from error
    if list(patch) != PATCH:
        raise WrongWeights("plans.json asks for patches of %s; VoxTell's are %s" % (patch, PATCH))
    stages = VoxTellModel.DECODER_CONFIGS
    if size == "small":
        widths = sizes["features_per_stage"]
        stages = {n: {**stage, "channels": widths[n]} for n, stage in stages.items()}
    model_class = type("VoxTellModel", (VoxTellModel,), {"DECODER_CONFIGS": stages})
    fixed = {"decoder_layer": 4, "num_maskformer_stages": 5, "deep_supervision": False}
    return model_class(
        input_channels=1, text_embedding_dim=TEXT_DIMENSIONS, **sizes, **SIZES[size], **fixed
    )


def _class_of_torch(name: str | None) -> Any:
    if name is None:
        return None
    if not name.startswith("torch.nn."):
        raise WrongWeights("plans.json names %s, which is not a layer of torch" % name)
    return pydoc.locate(name)


class VoxTell:
    """Text and image with torch; see ``pipeline.Network``. On a GPU in mixed precision."""

    def __init__(self) -> None:
        from voxtell.utils.embedding_bank import load_embedding_bank

        size = network_size()
        plans = json.loads(only_file(FOLDER + "/plans.json").read_text(encoding="utf-8"))
        path = only_file(FOLDER + "/fold_0/checkpoint_final.pth")
        module, checkpoint = build(plans, size), read_checkpoint(path)
        load_strictly(
            module, checkpoint.get(STATE, {}) if isinstance(checkpoint, dict) else {}, path.name
        )
        bank = only_file("*.npz")
        self._bank = load_embedding_bank(str(bank))
        wrong = [text for text, vector in self._bank.items() if vector.shape != (TEXT_DIMENSIONS,)]
        if wrong or not self._bank:
            raise WrongWeights(
                "%s holds no embeddings of %d numbers" % (bank.name, TEXT_DIMENSIONS)
            )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = module.eval().to(self.device)
        # forward() begins with the encoder; without it, a patch's features serve the next text, too
        self._encoder, self._module.encoder = module.encoder, torch.nn.Identity()
        if size == "small":
            # oneDNN is several times slower than torch's own kernels on so few features
            torch.backends.mkldnn.set_flags(_enabled=False)

    def embedding(self, text: str) -> Any:
        """The vector (1, 1, 2560), None for a text that the bank does not have."""
        vector = self._bank.get(text)
        return (
            None
            if vector is None
            else torch.from_numpy(vector.astype(np.float32)).to(self.device)[None, None]
        )

    @torch.inference_mode()
    def features(self, patch: Volume) -> Any:
        """The encoder's features of a patch, at each of its scales."""
        values = torch.from_numpy(np.ascontiguousarray(patch.array)).to(self.device)
        with self._precision():
            return self._encoder(values[None, None])

    @torch.inference_mode()
    def logits(self, features: Any, embedding: Any) -> Any:
        """One text at a time: the other targets of a request must not change a mask."""
        with self._precision():
            return self._module(features, embedding)[0, 0].float().cpu().numpy()

    def _precision(self) -> Any:
        return torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda")
