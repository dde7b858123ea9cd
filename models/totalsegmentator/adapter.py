"""TotalSegmentator: the tasks ``total`` on CT and ``total_mr`` on MR; no prompts."""

from __future__ import annotations

from dataclasses import replace

from network import TotalSegmentator
from pipeline import OPTIONS, predict

from zoo_sdk import Adapter as Base
from zoo_sdk import Prediction, Request, choose_options, read_image
from zoo_sdk.weights import which_weights


class Adapter(Base):
    """The pipeline with the networks of both tasks."""

    def setup(self) -> None:
        """Open the results folders, strictly."""
        self.network = TotalSegmentator()

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
