"""MRSegmentator's pipeline from an image to masks: pure functions that take the network.

It follows the package (mrsegmentator 2.0.0, inference.py and simpleitk_reader_writer.py): axes
turned to be closest to LPS and reversed (as an array: towards Superior, Posterior, Left); nnU-Net;
back, voxel for voxel.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.label_maps import labels_of_targets, masks_from
from zoo_transforms.resampling import oriented, sample, voxel_grid_of

OPTIONS = {"fast": ("off", "on")}


class Network(Protocol):
    """What the pipeline needs."""

    #: name -> values
    labels: Mapping[str, Tuple[int, ...]]

    def label_map(self, image: Volume, *, fast: bool) -> Any:
        """The labels of an image, on its own voxels; axes (z, y, x) of LPS."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    labels_by_target, outcomes = labels_of_targets(request, network.labels)
    notes: Dict[str, Any] = {"options": dict(options), "labels": labels_by_target}
    if labels_by_target:
        with seconds.of("preprocess"):
            network_grid = oriented(voxel_grid_of(request.grid), "SPL")
            values = sample(image.array, image.affine, network_grid).astype(np.float32)
        if values.any():
            with seconds.of("infer"):
                label_map = network.label_map(
                    Volume(values, network_grid.affine), fast=options["fast"] == "on"
                )
            with seconds.of("postprocess"):
                outcomes.update(masks_from(label_map, network_grid, request.grid, labels_by_target))
        else:
            nothing = Undefined("all voxels are zero: there is nothing to segment")
            outcomes.update(dict.fromkeys(labels_by_target, nothing))
    return Prediction(outcomes, notes=notes, seconds=seconds)
