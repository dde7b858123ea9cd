"""VIBESegmentator: 72 structures of the torso on MR and CT; no prompts."""

from __future__ import annotations

from typing import Any

import pipeline
from network import VibeSegmentator

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the image once, for all targets."""

    pipeline = pipeline
    open_network = VibeSegmentator

    def details(self) -> dict[str, Any]:
        """Where the network comes from, and how it wants its input."""
        return {
            "model": self.network.about,
            "orientation": self.network.orientation,
            "spacing": list(self.network.spacing),
        }
