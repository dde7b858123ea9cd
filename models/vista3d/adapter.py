"""VISTA3D: classes by name, and clicks."""

from __future__ import annotations

import pipeline
from network import Vista3d

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target from its clicks, or by its name."""

    pipeline = pipeline
    open_network = Vista3d
    make_memory = pipeline.Memory
