"""SAM-Med3D and models with its architecture and preprocessing (SegAnyPET): one adapter."""

from __future__ import annotations

import pipeline
from network import SamMed3D

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target from its clicks."""

    pipeline = pipeline
    open_network = SamMed3D
