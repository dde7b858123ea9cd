"""MOOSE's pipeline from a CT to masks: pure functions that take the networks.

It follows the package (moosez 3.2.2, ``workflows.py`` and ``image_processing.py``): axes turned to
RAS, the image resampled as a whole to a network's spacing by a cubic B-spline from its first voxel
on and cut to integers as the file's are, nnU-Net at that spacing, the nearest voxel back.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import (
    canonical,
    reversed_axes,
    sample,
    voxel_grid_of,
)
from zoo_transforms.splines import respaced_by_spline

#: organ -> the model of the package and its labels, as the package's README lists them
ORGANS: Dict[str, Tuple[str, Tuple[int, ...]]] = {
    "liver": ("organs", (8,)),
    "kidney-left": ("organs", (6,)),
    "kidney-right": ("organs", (7,)),
    "brain": ("organs", (4,)),
    "spleen": ("organs", (15,)),
    "lung": ("organs", (9, 10, 11, 12, 13)),
    "bladder": ("organs", (3,)),
    "pancreas": ("organs", (14,)),
    "stomach": ("organs", (16,)),
    "heart": ("cardiac", (1, 2, 3, 4, 5)),
    "aorta": ("cardiac", (6,)),
    "colon": ("digestive", (1,)),
    "esophagus": ("digestive", (3,)),
}

OPTIONS: Dict[str, Tuple[str, ...]] = {}


class Model(Protocol):
    """One model of the package."""

    #: along (z, y, x), mm
    spacing: Sequence[float]

    def label_map(self, image: Volume) -> Any:
        """The labels of an image, on its own voxels."""


class Network(Protocol):
    """What the pipeline needs."""

    def model(self, name: str) -> Model:
        """A model of the package, ``organs``, ``cardiac`` or ``digestive``."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; there are no options."""
    seconds = Seconds()
    outcomes: Dict[str, Any] = {
        target.name: Unsupported("MOOSE's models for CT have no %s" % target.name)
        for target in request.targets
    }
    organs_by_model: Dict[str, List[str]] = {}
    for organ in outcomes:
        if organ in ORGANS:
            organs_by_model.setdefault(ORGANS[organ][0], []).append(organ)
    notes: Dict[str, Any] = {"options": dict(options), "organs": organs_by_model}
    for name, organs in organs_by_model.items():
        try:
            outcomes.update(_masks(image, request, network.model(name), organs, seconds))
        except Undefined as error:
            outcomes.update(dict.fromkeys(organs, error))
    return Prediction(outcomes, notes=notes, seconds=seconds)


def _masks(
    image: Volume, request: Request, model: Model, organs: Sequence[str], seconds: Seconds
) -> Dict[str, Any]:
    with seconds.of("preprocess"):
        view = network_values(image, request, model.spacing)
    with seconds.of("infer"):
        labels = np.asarray(model.label_map(view))
    with seconds.of("postprocess"):
        grid = voxel_grid_of(request.grid)
        on_image = sample(labels, view.affine, grid, nearest=True)
        return {organ: np.isin(on_image, ORGANS[organ][1]) for organ in organs}


def network_values(image: Volume, request: Request, spacing: Sequence[float]) -> Volume:
    """The CT as a network gets it: axes (z, y, x) of RAS+, float32.

    Upstream's image keeps the file's type, so values of a file of integers are cut to integers.

    Raises:
        Undefined: all voxels are zero.
    """
    grid = reversed_axes(canonical(voxel_grid_of(request.grid)))
    values = sample(image.array, image.affine, grid, outside=None).astype(np.float32)
    view = respaced_by_spline(values, grid, spacing)
    if np.array_equal(values, np.trunc(values)):
        np.trunc(view.array, out=view.array)
    if not view.array.any():
        raise Undefined("all voxels are zero: there is nothing to segment")
    return view
