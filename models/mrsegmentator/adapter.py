"""MRSegmentator: 40 classes on MR and CT; no prompts."""

from __future__ import annotations

from typing import Any

import pipeline
from network import MRSegmentator

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the image once, for all targets."""

    pipeline = pipeline
    open_network = MRSegmentator

    def details(self) -> dict[str, Any]:
        """Where the network comes from."""
        return {"model": self.network.about}
