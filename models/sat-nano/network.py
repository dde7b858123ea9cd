"""SAT's networks from upstream's source (in ``/opt/model/sat``), with strictly loaded weights.

Upstream loads the keys that fit and prints the rest, so a pre-training checkpoint gives empty masks
without an error (its issue 26). Here the segmentation network and the text encoder must be
complete, and must be those of this image.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Dict, Mapping

import numpy as np
import torch

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import (
    WrongWeights,
    load_strictly,
    network_size,
    only_file,
    read_checkpoint,
    weights_folder,
)

#: upstream's name of the backbone, and the features of its first stage, which distinguish it from
#: the two others that upstream builds
BACKBONES = {"nano": ("UNET", 64), "pro": ("UNET-L", 128)}
#: the small network takes the same patch; its first stage has as few features as can be
SMALL_FEATURES = (1, 2, 4, 4, 8, 8)
STATE = "model_state_dict"
#: rows of upstream's modality embedding
CODES = {"ct": 0, "mri": 1, "us": 2, "pet": 3}
#: a query has 3 kB
QUERIES = 4096
#: parts of a checkpoint that inference has no use for: deep supervision's heads
UNUSED = "mid_mask_embed_proj."
#: what a pre-training checkpoint has beside a text encoder
PRETRAINING = ("atlas_tower", "temperature")


def variant() -> str:
    """Which of upstream's networks the image holds (``SAT_VARIANT``)."""
    return os.environ["SAT_VARIANT"]


def build(size: str, *, deep_supervision: bool = False) -> Any:
    """The segmentation network without weights: upstream's ``Maskformer``, with one backbone."""
    from model import maskformer

    name, first = BACKBONES[variant()]
    PlainConvUNet = maskformer.PlainConvUNet

    def one_backbone(**sizes: Any) -> Any:
        if sizes["features_per_stage"][0] != first:
            return None
        if size == "small":
            smallest = {
                "kernel_sizes": (1, 3, 3, 3, 3, 3),
                "n_conv_per_stage": 1,
                "n_conv_per_stage_decoder": 1,
            }
            sizes.update(smallest, features_per_stage=SMALL_FEATURES)
        return PlainConvUNet(**sizes)

    maskformer.PlainConvUNet = one_backbone
    try:
        module = maskformer.Maskformer(name, [288, 288, 96], [32, 32, 32], deep_supervision)
    finally:
        maskformer.PlainConvUNet = PlainConvUNet
    if size == "small":
        first_layer, last_layer = module.projection_layer[0], module.mask_embed_proj[2]
        module.projection_layer[0] = torch.nn.Linear(sum(SMALL_FEATURES), first_layer.out_features)
        module.mask_embed_proj[2] = torch.nn.Linear(last_layer.in_features, SMALL_FEATURES[0])
    return module


def build_text_encoder(folder: Path) -> Any:
    """The text encoder without weights: BioLORD's architecture and tokeniser from ``folder``."""
    from model import knowledge_encoder, text_tower

    AutoModel = text_tower.AutoModel
    text_tower.AutoModel = _FromConfig
    try:
        return knowledge_encoder.Knowledge_Encoder(str(folder))
    finally:
        text_tower.AutoModel = AutoModel


class _FromConfig:
    """Replaces transformers' AutoModel, which would load weights that are replaced afterwards."""

    @staticmethod
    def from_pretrained(folder: str) -> Any:
        from transformers import AutoConfig, AutoModel

        return AutoModel.from_config(AutoConfig.from_pretrained(folder))


def segmentation_state(checkpoint: Any, name: str) -> Dict[str, Any]:
    """The network's weights in a published checkpoint; raises WrongWeights for another."""
    state = _state(checkpoint, name)
    return {key: value for key, value in state.items() if not key.startswith(UNUSED)}


def text_state(checkpoint: Any, name: str) -> Dict[str, Any]:
    """The text encoder's weights in a published checkpoint; raises WrongWeights for another."""
    state = _state(checkpoint, name)
    # a buffer of transformers before 4.31
    return {
        key: value for key, value in state.items() if not key.endswith("embeddings.position_ids")
    }


def _state(checkpoint: Any, name: str) -> Dict[str, Any]:
    if not isinstance(checkpoint, Mapping) or STATE not in checkpoint:
        raise WrongWeights("%s has no %s; is it one of SAT's checkpoints?" % (name, STATE))
    state = {key.removeprefix("module."): value for key, value in checkpoint[STATE].items()}
    if any(key.split(".")[0] in PRETRAINING for key in state):
        raise WrongWeights(
            "%s is a checkpoint of SAT's pre-training (it has an atlas tower or a temperature). "
            "Segmentation needs the pair that was trained together: the hub's Nano/nano.pth and "
            "Nano/nano_text_encoder.pth, or Pro/SAT_Pro.pth and Pro/text_encoder.pth" % name
        )
    return state


class Sat:
    """Text and image with torch; see ``pipeline.Network``. On a GPU in mixed precision."""

    def __init__(self) -> None:
        size, path = network_size(), only_file("*.pth")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        module, checkpoint = build(size), read_checkpoint(path)
        load_strictly(module, segmentation_state(checkpoint, path.name), path.name)
        self._module = module.eval().to(self.device)
        folder = weights_folder() / "text"
        text = only_file("text/*.pth")
        encoder, paired = build_text_encoder(folder / "biolord"), read_checkpoint(text)
        load_strictly(encoder, text_state(paired, text.name), text.name)
        #: of the network and of the text encoder: equal in a pair that was trained together; None
        #: if unknown
        self.steps = [part.get("step") for part in (checkpoint, paired)]
        self._encoder = encoder.eval().to(self.device)
        self._queries = Recent(QUERIES)
        if size == "small":
            # oneDNN is several times slower than torch's own kernels on so few features
            torch.backends.mkldnn.set_flags(_enabled=False)

    def query(self, words: str, modality: str) -> Any:
        """The query (1, 768)."""
        return self._queries.get((words, modality), lambda: self._query(words, modality))

    @torch.inference_mode()
    def _query(self, words: str, modality: str) -> Any:
        tower = self._encoder.text_tower
        tokens = {
            name: ids.to(self.device) for name, ids in tower.tokenizer.tokenize(words).items()
        }
        with self._precision():
            pooled = tower.mean_pooling(tower.biolord(**tokens), tokens["attention_mask"])
            code = torch.tensor([CODES[modality]], device=self.device)
            return self._encoder.projection_layer(pooled) + self._encoder.modality_embed(code)

    @torch.inference_mode()
    def features(self, patch: Volume) -> Any:
        """Upstream's image embedding, its position encoding, and the features of each voxel."""
        values = torch.from_numpy(np.ascontiguousarray(patch.array)).to(self.device)
        with self._precision():
            return self._module.vision_backbone_forward(values[None, None].expand(1, 3, -1, -1, -1))

    @torch.inference_mode()
    def probabilities(self, features: Any, query: Any) -> Any:
        """One query at a time: the other targets of a request must not change a mask."""
        with self._precision():
            logits = self._module.infer_forward([query], *features)
            return torch.sigmoid(logits)[0, 0].float().cpu().numpy()

    def _precision(self) -> Any:
        return torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda")


#: upstream's tree, and its own version of a package, under the name of nnU-Net's
UPSTREAM = Path(os.environ.get("SAT_UPSTREAM") or Path(__file__).parent / "sat")
for folder in (UPSTREAM / "model" / "dynamic-network-architectures-main", UPSTREAM):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
