"""The adapter of a model that is one network and one pipeline: all networks of the zoo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from zoo_sdk.adapter import Adapter, Prediction, choose_options
from zoo_sdk.files import read_image
from zoo_sdk.weights import which_weights

if TYPE_CHECKING:
    from zoo_sdk.wire import Request


class NetworkAdapter(Adapter):
    """Answers requests with a pipeline and the network that the weights are of.

    A subclass names both. The notes of an answer say which weights and which device it is from.
    """

    #: the module ``pipeline``: ``OPTIONS``, and ``predict(image, request, network, options)``
    pipeline: Any
    #: opens the network, strictly; the network has a ``device``
    open_network: Callable[[], Any]
    #: makes what requests about one image share, the fifth argument of ``predict``; None: nothing
    make_memory: Optional[Callable[[], Any]] = None

    def setup(self) -> None:
        """Load the weights."""
        self.network = type(self).open_network()
        memory = type(self).make_memory
        self.shared = () if memory is None else (memory(),)

    def predict(self, request: Request) -> Prediction:
        """Run the pipeline on the image of the request, for all targets."""
        options = choose_options(request, self.pipeline.OPTIONS)
        image = read_image(request)
        prediction: Prediction = self.pipeline.predict(
            image, request, self.network, options, *self.shared
        )
        details = {**self.details(), "weights": which_weights(), "device": str(self.network.device)}
        return replace(prediction, notes={**prediction.notes, **details})

    def details(self) -> Dict[str, Any]:
        """Further notes about the network; JSON values. The default has none."""
        return {}
