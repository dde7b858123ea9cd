"""SAT-Nano and SAT-Pro: one adapter, two images, distinguished by ``SAT_VARIANT``."""

from __future__ import annotations

from dataclasses import replace

from network import Sat, variant
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the network that the image's weights are of."""

    def setup(self) -> None:
        """Load both networks, strictly."""
        self.network = Sat()

    def predict(self, request: Request) -> Prediction:
        """Segment each target from its text; all of them share each patch's features."""
        prediction = predict(
            read_image(request), request, self.network, choose_options(request, OPTIONS)
        )
        details = {
            "variant": variant(),
            "weights": which_weights(),
            "device": str(self.network.device),
        }
        details["training_steps"] = self.network.steps
        return replace(prediction, notes={**prediction.notes, **details})
