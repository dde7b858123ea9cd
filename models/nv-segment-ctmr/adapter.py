"""NV-Segment-CTMR: classes by name, on CT and MR."""

from __future__ import annotations

from dataclasses import replace

from class_masks import Memory
from network import Vista3d
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network that the image's weights are of."""

    def setup(self) -> None:
        """Load the weights, strictly."""
        self.network, self.memory = Vista3d(), Memory()

    def predict(self, request: Request) -> Prediction:
        """Segment each target by its name."""
        options = choose_options(request, OPTIONS)
        prediction = predict(read_image(request), request, self.network, options, self.memory)
        return replace(
            prediction,
            notes={
                **prediction.notes,
                "weights": which_weights(),
                "device": str(self.network.device),
            },
        )
