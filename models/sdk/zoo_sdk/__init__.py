"""What a model author needs: the author writes a class ``Adapter``, this package does the rest.

    from zoo_sdk import Prediction, Request, read_image

    class Adapter:
        def setup(self) -> None:
            self.network = load_weights("/opt/ml/model")

        def predict(self, request: Request) -> Prediction:
            volume = read_image(request)
            masks = {t.name: self.network(volume.array, t.points) for t in request.targets}
            return Prediction(masks)

``python -m zoo_sdk.serve adapter.py`` serves it by the container contract
(``docs/contract.md``). Standard library only at import, Python >= 3.8.
"""

from zoo_sdk.adapter import Adapter, Prediction, Seconds, Unsupported, choose_options, each_target
from zoo_sdk.files import (
    BadMask,
    input_folder,
    output_folder,
    read_image,
    read_mask,
    read_volume,
    write_mask,
)
from zoo_sdk.volume import Crop, Volume
from zoo_sdk.wire import CONTRACT_VERSION, Box, BoxMm, Grid, ImageFile, Point, Request, Target

__all__ = [
    "CONTRACT_VERSION",
    "Adapter",
    "BadMask",
    "Box",
    "BoxMm",
    "Crop",
    "Grid",
    "ImageFile",
    "Point",
    "Prediction",
    "Request",
    "Seconds",
    "Target",
    "Unsupported",
    "Volume",
    "choose_options",
    "each_target",
    "input_folder",
    "output_folder",
    "read_image",
    "read_mask",
    "read_volume",
    "write_mask",
]
