"""SAM-Med3D and models with its architecture and preprocessing (SegAnyPET): one adapter."""

from __future__ import annotations

from dataclasses import replace

from network import SamMed3D
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network that the image's weights are of."""

    def setup(self) -> None:
        """Load the weights, strictly."""
        self.network = SamMed3D()

    def predict(self, request: Request) -> Prediction:
        """Segment each target from its clicks."""
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
