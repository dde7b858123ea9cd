"""VoxTell's pipeline from an image and texts to masks: pure functions that take the network.

It follows the package (voxtell 0.1.2, inference/predictor.py): axes turned to RAS+ and reversed
(z, y, x), as by nnU-Net's ``NibabelIOWithReorient``; no resampling; crop to the voxels that are not
zero; standardised by the crop's mean and standard deviation; patches of 192 voxels, at most half a
patch apart; logits weighted by a gaussian, above zero.
"""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import Any, Dict, List, Mapping, Protocol, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.patches import box_of, gaussian
from zoo_transforms.resampling import (
    VoxelGrid,
    oriented,
    overlap,
    put_back,
    respaced,
    sample,
    voxel_grid_of,
    window,
)

EDGE = 192
PATCH = (EDGE, EDGE, EDGE)
#: what upstream advises for very uncommon voxel sizes
COMMON_SPACING = (1.5, 1.5, 1.5)

OPTIONS = {"spacing": ("native", "1.5mm")}

Index = Tuple[int, int, int]


class Network(Protocol):
    """What the pipeline needs."""

    def embedding(self, text: str) -> Any:
        """A text's embedding; None if it is not available."""

    def features(self, patch: Volume) -> Any:
        """A patch's features, computed once for all texts."""

    def logits(self, features: Any, embedding: Any) -> Any:
        """The logit of each voxel of the patch, float32 (192, 192, 192); above zero: the object."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    outcomes: Dict[str, Any] = {}
    embeddings: Dict[str, Any] = {}
    notes: Dict[str, Any] = {"options": dict(options)}
    for target in request.targets:
        text = (target.text or "").strip().lower()
        embedding = network.embedding(text) if text else None
        if embedding is None:
            outcomes[target.name] = Unsupported(_reason(text))
        else:
            embeddings[target.name] = embedding
    if embeddings:
        network_grid = network_grid_of(voxel_grid_of(request.grid), options["spacing"])
        try:
            with seconds.of("preprocess"):
                start, values = network_values(image, network_grid)
        except Undefined as error:
            outcomes.update(dict.fromkeys(embeddings, error))
        else:
            crop = window(network_grid, start, values.shape)
            notes["crop"] = {
                "start": list(start),
                "shape": list(values.shape),
                "patches": len(starts(values.shape)),
            }
            masks = segment(Volume(values, crop.affine), embeddings, network, seconds)
            with seconds.of("postprocess"):
                outcomes.update(
                    {name: put_back(masks.pop(name), crop, request.grid) for name in embeddings}
                )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def _reason(text: str) -> str:
    if not text:
        return "needs the organ's name as text"
    return (
        "the bank of text embeddings has no %r, and this image has no text encoder "
        "(Qwen3-Embedding-4B)" % text
    )


def network_grid_of(image_grid: VoxelGrid, spacing: str) -> VoxelGrid:
    """The grid from which patches are cut, its axes towards Superior, Anterior, Right."""
    return oriented(
        image_grid if spacing == "native" else respaced(image_grid, COMMON_SPACING), "SAR"
    )


def network_values(image: Volume, network_grid: VoxelGrid) -> Tuple[Index, Any]:
    """The crop's first voxel on the network's grid, and its values as patches get them, float32.

    Raises Undefined if all voxels are zero, or all are equal.
    """
    values = sample(image.array, image.affine, network_grid).astype(np.float32)
    box = box_of(values != 0)
    values = values[box]
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if not deviation > 0:
        raise Undefined(
            "nothing to standardise by: all %d voxels of the crop are equal" % values.size
        )
    a, b, c = (part.start for part in box)
    return (a, b, c), (values - mean) / deviation


def segment(
    crop: Volume, embeddings: Mapping[str, Any], network: Network, seconds: Seconds
) -> Dict[str, Any]:
    """The mask of each target in the crop.

    Each patch's features are computed once for all targets. Memory: 2 bytes a voxel and target.
    """
    shape = crop.array.shape
    # in 16 bits as upstream has them
    votes = {name: np.zeros(shape, np.float16) for name in embeddings}
    importance = gaussian(PATCH)
    for start in starts(shape):
        in_crop, in_patch = overlap(start, PATCH, shape)
        with seconds.of("preprocess"):
            patch = np.zeros(PATCH, np.float32)
            patch[in_patch] = crop.array[in_crop]
            patch_grid = window(VoxelGrid(shape, crop.affine), start, PATCH)
        with seconds.of("infer"):
            features = network.features(Volume(patch, patch_grid.affine))
            for name, embedding in embeddings.items():
                logits = network.logits(features, embedding)
                votes[name][in_crop] = (
                    votes[name][in_crop] + logits[in_patch] * importance[in_patch]
                )
            del features
    if any(np.isinf(vote).any() for vote in votes.values()):
        raise OverflowError(
            "the weighted logits are too large for 16 bits, in which VoxTell adds them up"
        )
    return {name: votes.pop(name) > 0 for name in embeddings}


def starts(shape: Index) -> List[Index]:
    """First voxels of patches, by nnU-Net's rule: equal steps of at most half a patch.

    A crop smaller than a patch lies in the middle of one.
    """
    lines = []
    for size in shape:
        beyond = max(size - EDGE, 0)
        count = ceil(beyond / (EDGE / 2)) + 1
        before = max(EDGE - size, 0) // 2
        lines.append([round(beyond / max(count - 1, 1) * n) - before for n in range(count)])
    return list(product(*lines))
