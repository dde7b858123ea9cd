"""MOOSE: organs on CT from three networks; no prompts."""

from __future__ import annotations

from typing import Any

import pipeline
from network import Moose

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the image once with each network that has a requested organ."""

    pipeline = pipeline
    open_network = Moose

    def details(self) -> dict[str, Any]:
        """Where the networks come from."""
        return {"models": self.network.about}
