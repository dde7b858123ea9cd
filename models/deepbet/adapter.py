"""deepbet: automatic, T1-weighted MR of a head, the brain."""

from __future__ import annotations

import pipeline
from network import DeepBet

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the brain."""

    pipeline = pipeline
    open_network = DeepBet
