"""MindGrab: automatic, a head on CT, MR or PET, the brain."""

from __future__ import annotations

import pipeline
from network import MindGrab

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the brain."""

    pipeline = pipeline
    open_network = MindGrab
