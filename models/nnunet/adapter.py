"""nnU-Net v2: the models of a results folder, or of one for each modality; no prompts."""

from __future__ import annotations

import pipeline
from network import NnUNet

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the image once, for all targets."""

    pipeline = pipeline
    open_network = NnUNet
