"""nnU-Net v2: the models of a results folder, or of one for each modality; no prompts."""

from __future__ import annotations

from dataclasses import replace

from network import NnUNet
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the networks that are mounted."""

    def setup(self) -> None:
        """Open the results folders, strictly."""
        self.network = NnUNet()

    def predict(self, request: Request) -> Prediction:
        """Segment the image once, for all targets."""
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
