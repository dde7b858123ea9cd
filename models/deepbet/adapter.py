"""deepbet: automatic, T1-weighted MR of a head, the brain."""

from __future__ import annotations

from dataclasses import replace

from network import DeepBet
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the two networks of the image's weights."""

    def setup(self) -> None:
        """Load the weights."""
        self.network = DeepBet()

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
