"""LION: lesions on PET, FDG or PSMA; no prompts."""

from __future__ import annotations

from typing import Any

import pipeline
from network import Lion

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the lesions."""

    pipeline = pipeline
    open_network = Lion

    def details(self) -> dict[str, Any]:
        """Where the network comes from."""
        return {"model": self.network.about}
