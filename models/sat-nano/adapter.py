"""SAT-Nano and SAT-Pro: one adapter, two images, distinguished by ``SAT_VARIANT``."""

from __future__ import annotations

from typing import Any

import pipeline
from network import Sat, variant

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target from its text; all of them share each patch's features."""

    pipeline = pipeline
    open_network = Sat

    def details(self) -> dict[str, Any]:
        """The variant, and the training steps that both files state."""
        return {"variant": variant(), "training_steps": self.network.steps}
