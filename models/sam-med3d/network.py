"""SAM-Med3D's network from the package medim, with strictly loaded weights and cached embeddings.

The cache's keys hold everything that a value depends on (the crop's values, the clicks), so rounds
and targets that share a crop share its embedding, and a reply never depends on earlier requests.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Tuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import load_strictly, network_size, only_file, read_checkpoint

#: of medim's factory; the small one is for tests, and takes the same crop
SIZES: Dict[str, Dict[str, Any]] = {
    "full": {},
    "small": {
        "encoder_embed_dim": 48,
        "encoder_depth": 2,
        "encoder_num_heads": 2,
        "encoder_global_attn_indexes": [1],
    },
}
STATE = "model_state_dict"
#: 0.8 MB each
EMBEDDINGS = 256
#: 0.13 MB each
DECODED = 1024


def build(size: str) -> Any:
    """The network without weights."""
    import medim

    return medim.create_model("SAM-Med3D", pretrained=False, **SIZES[size])


class SamMed3D:
    """The three steps on torch; see ``pipeline.Network``."""

    def __init__(self) -> None:
        path = only_file("*.pth")
        module = build(network_size())
        state = read_checkpoint(path)
        load_strictly(module, state.get(STATE, {}) if isinstance(state, dict) else {}, path.name)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = module.eval().to(self.device)
        self._embeddings, self._decoded = Recent(EMBEDDINGS), Recent(DECODED)

    @torch.inference_mode()
    def embed(self, crop: Volume) -> Tuple[str, Any]:
        """The embedding (1, 384, 8, 8, 8) with what it is known by."""
        values = np.ascontiguousarray(crop.array, dtype=np.float32)
        key = hashlib.blake2b(values, digest_size=16).hexdigest()
        return key, self._embeddings.get(
            key, lambda: self._module.image_encoder(self._tensor(values[None, None]))
        )

    @torch.inference_mode()
    def decode(self, embedding: Tuple[str, Any], clicks: Any, previous: Any) -> Tuple[Any, Any]:
        """The logits (1, 1, 32, 32, 32), with the chain of clicks that they come from."""
        before, low = previous or ((), None)
        chain = (*before, clicks)
        decoded = self._decoded.get(
            (embedding[0], chain), lambda: self._decode(embedding[1], clicks, low)
        )
        return chain, decoded

    @torch.inference_mode()
    def mask(self, low: Tuple[Any, Any]) -> Any:
        """Logits as a mask of the crop's voxels."""
        logits = interpolate(low[1], size=(128, 128, 128), mode="trilinear", align_corners=False)
        return (torch.sigmoid(logits) > 0.5)[0, 0].cpu().numpy()

    def _decode(self, embedding: Any, clicks: Any, low: Any) -> Any:
        places = self._tensor(np.array([[index for index, _ in clicks]], dtype=np.float32))
        labels = self._tensor(
            np.array([[foreground for _, foreground in clicks]], dtype=np.float32)
        )
        if low is None:
            # upstream's first round has an empty mask, not none
            low = torch.zeros(1, 1, 32, 32, 32, device=self.device)
        sparse, dense = self._module.prompt_encoder(points=[places, labels], boxes=None, masks=low)
        logits, _ = self._module.mask_decoder(
            image_embeddings=embedding,
            image_pe=self._module.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        return logits

    def _tensor(self, array: Any) -> Any:
        return torch.from_numpy(array).to(self.device)
