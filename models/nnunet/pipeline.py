"""The pipeline around nnU-Net from an image to masks: pure functions that take the network.

The axes are turned as the training's reader turned them, nnU-Net returns one label map on the same
voxels, and each target takes its labels. The steps between (crop, normalisation, resampling,
patches) are nnU-Net's code (``results.py``).
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.label_maps import labels_of_targets, masks_from
from zoo_transforms.resampling import VoxelGrid, canonical, reversed_axes, sample, voxel_grid_of

OPTIONS = {"mirroring": ("on", "off"), "folds": ("all", "first")}


class Model(Protocol):
    """The network of one modality."""

    #: stored or ras: which way the axes go before they are taken in reverse order
    orientation: str
    labels: Mapping[str, Tuple[int, ...]]
    about: Mapping[str, Any]

    def label_map(self, image: Volume, *, mirroring: bool, folds: int | None) -> Any:
        """The labels of an image, on its own voxels."""


class Network(Protocol):
    """What the pipeline needs."""

    def model(self, modality: str) -> Model | None:
        """The model for images of a DICOM modality; None if there is none."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    modality = next(iter(request.images))
    model = network.model(modality)
    if model is None:
        none = Unsupported("the weights hold no model for %s" % modality)
        return Prediction(
            {target.name: none for target in request.targets}, notes={"options": dict(options)}
        )
    labels_by_target, outcomes = labels_of_targets(request, model.labels)
    notes: Dict[str, Any] = {
        "options": dict(options),
        "model": dict(model.about),
        "labels": labels_by_target,
    }
    if labels_by_target:
        with seconds.of("preprocess"):
            network_grid = network_grid_of(voxel_grid_of(request.grid), model.orientation)
            values = sample(image.array, image.affine, network_grid).astype(np.float32)
        if values.any():
            with seconds.of("infer"):
                folds = 1 if options["folds"] == "first" else None
                label_map = model.label_map(
                    Volume(values, network_grid.affine),
                    mirroring=options["mirroring"] == "on",
                    folds=folds,
                )
            with seconds.of("postprocess"):
                outcomes.update(masks_from(label_map, network_grid, request.grid, labels_by_target))
        else:
            outcomes.update(
                dict.fromkeys(
                    labels_by_target, Undefined("all voxels are zero: there is nothing to segment")
                )
            )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def network_grid_of(image_grid: VoxelGrid, orientation: str) -> VoxelGrid:
    """The image's voxels as nnU-Net's readers return them: axes reversed, RAS+ first if needed."""
    return reversed_axes(image_grid if orientation == "stored" else canonical(image_grid))
