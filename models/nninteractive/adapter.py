"""nnInteractive: the pipeline with upstream's session."""

from __future__ import annotations

from dataclasses import replace

from network import NnInteractive
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """One session for all requests."""

    def setup(self) -> None:
        """Load the weights, strictly."""
        self.network = NnInteractive()

    def predict(self, request: Request) -> Prediction:
        """Segment each target from its prompts."""
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
