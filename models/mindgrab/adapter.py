"""MindGrab: automatic, a head on CT, MR or PET, the brain."""

from __future__ import annotations

from dataclasses import replace

from network import MindGrab
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network of the image's weights."""

    def setup(self) -> None:
        """Load the weights, strictly."""
        self.network = MindGrab()

    def predict(self, request: Request) -> Prediction:
        """Segment the brain."""
        prediction = predict(
            read_image(request), request, self.network, choose_options(request, OPTIONS)
        )
        return replace(
            prediction,
            notes={
                **prediction.notes,
                "weights": which_weights(),
                "device": str(self.network.device),
            },
        )
