"""SegVol: a text, clicks, a box, and what of them goes together."""

from __future__ import annotations

import pipeline
from network import SegVol

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target from its prompts."""

    pipeline = pipeline
    open_network = SegVol
    make_memory = pipeline.Memory
