"""CT-FM whole-body segmentation: automatic, CT, a closed list of organs."""

from __future__ import annotations

import pipeline
from network import CtFm

from zoo_sdk.network_adapter import NetworkAdapter


class Adapter(NetworkAdapter):
    """Labels the image once; each target is a union of classes."""

    pipeline = pipeline
    open_network = CtFm
