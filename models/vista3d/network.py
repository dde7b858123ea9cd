"""VISTA3D from the package monai, with strictly loaded weights; a window's features are cached.

The two heads are upstream's, called as its ``forward`` does. Only their first step, which depends
on the window only and costs most, is done once: for all classes of a request, and for all clicks on
a window.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import torch

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import load_strictly, network_size, only_file, read_checkpoint

#: arguments of vista3d132 (its defaults are the published network), and of another encoder; the
#: small network is for tests and takes the same window
SIZES: Dict[str, Tuple[Dict[str, int], Dict[str, Any]]] = {
    "full": ({}, {}),
    "small": (
        {"encoder_embed_dim": 8},
        {"init_filters": 4, "blocks_down": (1, 1), "out_channels": 8},
    ),
}
#: trainers of MONAI's bundles put the weights under this key; the published file is the weights
#: themselves
STATE = "model"
#: 50 MB each (25 on a graphics card)
WINDOWS = 64
ZERO_SHOT, SUPPORTED = 133, 1


def build(size: str) -> Any:
    """The network without weights."""
    from monai.networks.nets import SegResNetDS2, vista3d132

    heads, encoder = SIZES[size]
    module = vista3d132(in_channels=1, **heads)
    if encoder:
        module.image_encoder = SegResNetDS2(in_channels=1, norm="instance", dsdepth=1, **encoder)
    return module


class _Replay(torch.nn.Module):
    """Replaces a step whose outcome is already computed."""

    outcome: Any = None

    def forward(self, _: Any) -> Any:
        return self.outcome


class Vista3d:
    """The two branches on torch; see ``pipeline.Network``."""

    def __init__(self) -> None:
        path = only_file("*.pt")
        module = build(network_size())
        load_strictly(module, state_of(read_checkpoint(path)), path.name)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = module.eval().to(self.device)
        self._class_features = module.class_head.image_post_mapping
        self._click_features = module.point_head.feat_downsample
        self._replay = module.class_head.image_post_mapping = module.point_head.feat_downsample = (
            _Replay()
        )
        self._windows = Recent(WINDOWS)

    def classes(self, patch: Volume, ids: Sequence[int]) -> List[Any]:
        """Logits for each class, computed one by one: they do not depend on the other classes."""
        logits_by_class = []
        with torch.inference_mode(), self._precision():
            _, out = self._module.image_encoder(
                self._tensor(patch.array), with_point=False, with_label=True
            )
            features = self._class_features(out)
            for number in ids:
                self._replay.outcome = features
                logits, _ = self._module.class_head(
                    features, torch.tensor([[number]], device=self.device)
                )
                logits_by_class.append(self._array(logits))
        return logits_by_class

    def clicks(self, patch: Volume, clicks: Any, is_class: bool, before: Any) -> Any:
        """Logits from clicks, merged with the logits before as in upstream's ``forward``."""
        values = np.ascontiguousarray(patch.array, dtype=np.float32)
        image = self._tensor(values)
        places = torch.tensor(
            [[place for place, _ in clicks]], dtype=torch.float64, device=self.device
        )
        kinds = torch.tensor([[kind for _, kind in clicks]], device=self.device)
        name = torch.tensor([[SUPPORTED if is_class else ZERO_SHOT]], device=self.device)
        with torch.inference_mode(), self._precision():
            key = hashlib.blake2b(values, digest_size=16).hexdigest()
            self._replay.outcome = self._windows.get(key, lambda: self._features(image))
            # only the shape of the placeholder for the encoder's features is read
            logits = self._module.point_head(image, places, kinds, class_vector=name)
            if before is not None:
                every = torch.ones(1, dtype=torch.bool, device=self.device)
                earlier = self._tensor(np.array(before, dtype=np.float32))
                logits = self._module.connected_components_combine(
                    earlier, logits, places, kinds, every
                )
            return self._array(logits)

    def _features(self, image: Any) -> Any:
        out, _ = self._module.image_encoder(image, with_point=True, with_label=False)
        return self._click_features(out)

    def _precision(self) -> Any:
        # the bundle's ``amp``: half precision on a graphics card, and nowhere else
        return torch.autocast(self.device.type, enabled=self.device.type == "cuda")

    def _tensor(self, array: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None].to(
            self.device
        )

    @staticmethod
    def _array(logits: Any) -> Any:
        return logits[0, 0].float().cpu().numpy()


def state_of(checkpoint: Any) -> Mapping[str, Any]:
    """The weights in a checkpoint, as MONAI's ``CheckpointLoader`` finds them."""
    if not isinstance(checkpoint, dict):
        return {}
    inner = checkpoint.get(STATE, checkpoint)
    return inner if isinstance(inner, dict) else {}
