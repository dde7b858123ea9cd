"""TotalSegmentator: the tasks ``total`` on CT and ``total_mr`` on MR; no prompts."""

from __future__ import annotations

import pipeline
from network import TotalSegmentator

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments the image once, for all targets."""

    pipeline = pipeline
    open_network = TotalSegmentator
