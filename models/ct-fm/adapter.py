"""CT-FM whole-body segmentation: automatic, CT, a closed list of organs."""

from __future__ import annotations

from dataclasses import replace

from network import CtFm
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network that the image's weights are of."""

    def setup(self) -> None:
        """Load the weights, strictly."""
        self.network = CtFm()

    def predict(self, request: Request) -> Prediction:
        """Label the image once; each target is a union of classes."""
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
