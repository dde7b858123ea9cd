"""LION: lesions on PET, FDG or PSMA; no prompts."""

from __future__ import annotations

from dataclasses import replace

from network import Lion
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network that the image's weights are of."""

    def setup(self) -> None:
        """Find the device; a network is opened when its tracer is asked for."""
        self.network = Lion()

    def predict(self, request: Request) -> Prediction:
        """Segment the lesions."""
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
