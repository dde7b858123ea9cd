"""MRSegmentator: 40 classes on MR and CT; no prompts."""

from __future__ import annotations

from dataclasses import replace

from network import MRSegmentator
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network that the image's weights are of."""

    def setup(self) -> None:
        """Open the results folder, strictly."""
        self.network = MRSegmentator()

    def predict(self, request: Request) -> Prediction:
        """Segment the image once, for all targets."""
        prediction = predict(
            read_image(request), request, self.network, choose_options(request, OPTIONS)
        )
        return replace(
            prediction,
            notes={
                **prediction.notes,
                "model": self.network.about,
                "weights": which_weights(),
                "device": str(self.network.device),
            },
        )
