"""SegVol from upstream's source, with strictly loaded weights; embeddings are cached.

Upstream's source is in ``segvol`` beside this file (``UMD_SEGVOL`` elsewhere). Its losses and
interactive viewers are left out: they need matplotlib and torchvision, and inference does not need
them. Its text encoder puts tokens on a fixed GPU; ours puts them on the network's device.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Mapping, Tuple

import numpy as np
import torch

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import load_strictly, network_size, only_file, read_checkpoint

SHAPE = (32, 256, 256)
PATCH = (4, 16, 16)
WIDTH = 768
#: of the image encoder, and of the text encoder; the full ones are upstream's own
SMALL_ENCODER = {"mlp_dim": 192, "num_layers": 1}
SMALL_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
#: the hub's checkpoint is of a module that holds this one
PREFIX = "model."
#: a buffer that transformers stored before 4.31 and makes itself since
MADE_ANEW = "text_encoder.clip_text_model.text_model.embeddings.position_ids"
#: 6 MB each
VIEWS = 64


def upstream() -> Path:
    """Where upstream's source is."""
    return Path(os.environ.get("UMD_SEGVOL") or Path(__file__).parent / "segvol")


def upstream_class() -> Tuple[Any, Any]:
    """Upstream's builder of the SAM parts, and its SegVol."""
    folder = str(upstream())
    without_losses = ModuleType("utils.loss")
    for loss in ("BCELoss", "BinaryDiceLoss"):
        setattr(without_losses, loss, torch.nn.Identity)
    without_viewers = ModuleType("segment_anything_volumetric")
    without_viewers.__path__ = [f"{folder}/segment_anything_volumetric"]
    sys.modules.update(
        {"utils.loss": without_losses, "segment_anything_volumetric": without_viewers}
    )
    # by its file: the name of upstream's package is that of this module
    spec = importlib.util.spec_from_file_location("segvol_model", f"{folder}/network/model.py")
    assert spec
    assert spec.loader
    model = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        from segment_anything_volumetric.build_sam import _build_sam

        spec.loader.exec_module(model)
    finally:
        sys.path.remove(folder)
    return _build_sam, model.SegVol


def build(size: str) -> Any:
    """The network without weights."""
    from monai.networks.nets import ViT
    from transformers import CLIPTextConfig, CLIPTextModel

    build_sam, segvol = upstream_class()
    sam = build_sam(
        image_encoder_type="vit",
        embed_dim=WIDTH,
        patch_size=PATCH,
        checkpoint=None,
        image_size=SHAPE,
    )
    encoder = sam.image_encoder
    if size == "small":
        encoder = ViT(
            1,
            SHAPE,
            PATCH,
            hidden_size=WIDTH,
            num_heads=12,
            pos_embed="perceptron",
            **SMALL_ENCODER,
        )
    clip = str(upstream() / "config" / "clip")
    module = segvol(
        encoder, sam.mask_decoder, sam.prompt_encoder, clip, SHAPE, PATCH, test_mode=True
    )
    if size == "small":
        text = CLIPTextConfig(**SMALL_TEXT)
        module.text_encoder.clip_text_model = CLIPTextModel(text)
        module.text_encoder.dim_align = torch.nn.Linear(text.hidden_size, WIDTH)
    return module


class SegVol:
    """The network on torch; see ``pipeline.Network``."""

    def __init__(self) -> None:
        path = only_file("*.bin")
        self._module = build(network_size())
        load_strictly(self._module, state_of(read_checkpoint(path)), path.name)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module.eval().to(self.device)
        self._views, self._texts = Recent(VIEWS), Recent(VIEWS)
        text = self._module.text_encoder
        tokens = text.tokenizer
        text.organ2tokens = lambda texts: tokens(texts, padding=True, return_tensors="pt").to(
            self.device
        )

    @torch.inference_mode()
    def embed(self, view: Volume) -> Any:
        """The embedding (1, 768, 8, 16, 16)."""
        values = np.ascontiguousarray(view.array, dtype=np.float32)
        key = hashlib.blake2b(values, digest_size=16).hexdigest()
        return self._views.get(key, lambda: self._embed(values))

    @torch.inference_mode()
    def decode(self, embedding: Any, prompt: Any) -> Any:
        """Logits (32, 256, 256)."""
        points = box = None
        if prompt.clicks:
            places = self._tensor([[place for place, _ in prompt.clicks]])
            points = (places, self._tensor([[kind for _, kind in prompt.clicks]]))
        if prompt.box is not None:
            box = self._tensor([prompt.box])
        text = None if prompt.text is None else prompt.template.format(prompt.text)
        logits = self._module.forward_decoder(embedding, SHAPE, text=text, boxes=box, points=points)
        return logits[0, 0].float().cpu().numpy()

    def _embed(self, values: Any) -> Any:
        tokens, _ = self._module.image_encoder(torch.from_numpy(values)[None, None].to(self.device))
        return tokens.transpose(1, 2).view(
            1, -1, *(size // patch for size, patch in zip(SHAPE, PATCH))
        )

    def _tensor(self, values: Any) -> Any:
        return torch.tensor(values, dtype=torch.float32, device=self.device)


def state_of(checkpoint: Any) -> Mapping[str, Any]:
    """The weights in the hub's checkpoint, by the names that upstream's source has for them."""
    if not isinstance(checkpoint, dict):
        return {}
    state: Dict[str, Any] = {
        name[len(PREFIX) :] if name.startswith(PREFIX) else f"(not under {PREFIX}) {name}": value
        for name, value in checkpoint.items()
    }
    state.pop(MADE_ANEW, None)
    return state
