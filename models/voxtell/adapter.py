"""VoxTell: any text that its bank of embeddings has, on CT, MR and PET."""

from __future__ import annotations

import pipeline
from network import VoxTell

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Segments each target from its text; all of them share each patch's features."""

    pipeline = pipeline
    open_network = VoxTell
