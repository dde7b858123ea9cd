"""NV-Segment-CTMR: classes by name, on CT and MR."""

from __future__ import annotations

import pipeline
from class_masks import Memory
from network import Vista3d

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target by its name."""

    pipeline = pipeline
    open_network = Vista3d
    make_memory = Memory
