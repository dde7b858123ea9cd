"""nnInteractive: the pipeline with upstream's session."""

from __future__ import annotations

import pipeline
from network import NnInteractive

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target from its prompts."""

    pipeline = pipeline
    open_network = NnInteractive
