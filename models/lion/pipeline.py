"""LION's pipeline from a PET to the mask of its lesions: pure functions that take the network.

It follows the package (lionz 1.0.7, ``predict.py`` and ``image_processing.py``): the image is
resampled as a whole to the network's spacing by a cubic B-spline from its first voxel on, nnU-Net
with all its voxels at that spacing, the voxels of one label, the nearest voxel back.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Sequence

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import (
    VoxelGrid,
    oriented,
    put_back,
    reversed_axes,
    sample,
    voxel_grid_of,
)
from zoo_transforms.splines import respaced_by_spline

TARGET = "lesion"
#: the label of lesions among those of each network, as the package has them
LABELS = {"fdg": 11, "psma": 6}
OPTIONS = {"tracer": ("fdg", "psma"), "orientation": ("las", "stored"), "suv": ("all", "2.5", "4")}


class Model(Protocol):
    """The network of one tracer."""

    #: along the axes of its input, mm
    spacing: Sequence[float]

    def label_map(self, image: Volume) -> Any:
        """The labels of an image, on its own voxels."""


class Network(Protocol):
    """What the pipeline needs."""

    def model(self, tracer: str) -> Model:
        """The network of a tracer."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    outcomes: Dict[str, Any] = {
        t.name: Unsupported("LION segments lesions and nothing else") for t in request.targets
    }
    notes: Dict[str, Any] = {"options": dict(options), "label": LABELS[options["tracer"]]}
    if TARGET in outcomes:
        try:
            outcomes[TARGET] = _lesions(image, request, network, options, seconds, notes)
        except Undefined as error:
            outcomes[TARGET] = error
    return Prediction(outcomes, notes=notes, seconds=seconds)


def _lesions(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
    seconds: Seconds,
    notes: Dict[str, Any],
) -> Any:
    model = network.model(options["tracer"])
    with seconds.of("preprocess"):
        grid = reversed_axes(stored_grid(voxel_grid_of(request.grid), options["orientation"]))
        values = sample(image.array, image.affine, grid, outside=None).astype(np.float32)
        if not values.max() > values.min():
            raise Undefined("nothing to segment: all voxels are equal")
        # upstream hands the plan's spacing to SimpleITK, whose axes are in the other order
        spacing = tuple(reversed(tuple(model.spacing)))
        view = respaced_by_spline(values, grid, spacing)
    notes["spacing"] = list(spacing)
    with seconds.of("infer"):
        labels = model.label_map(view)
    with seconds.of("postprocess"):
        lesions = np.asarray(labels) == LABELS[options["tracer"]]
        mask = put_back(lesions, VoxelGrid(lesions.shape, view.affine), request.grid)
        if options["suv"] != "all":
            mask &= image.array >= float(options["suv"])
    return mask


def stored_grid(grid: VoxelGrid, orientation: str) -> VoxelGrid:
    """The image's voxels with the axes of the package's own conversion from DICOM, or as stored."""
    return grid if orientation == "stored" else oriented(grid, "LAS")
