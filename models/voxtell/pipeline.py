"""VoxTell's way from an image and texts to masks, with the network given: pure functions of their arguments.

As the package does it (voxtell 0.1.2, inference/predictor.py): axes turned to RAS+ and taken in
reverse order (z, y, x), as nnU-Net's ``NibabelIOWithReorient`` hands them over; no resampling; crop
to the voxels that are not zero; minus mean and by standard deviation of the crop; patches of 192
voxels, half a patch apart or closer so that they fit; logits weighted by a gaussian, above zero.
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
        """A text's embedding, None for one that cannot be had."""

    def features(self, patch: Volume) -> Any:
        """All that every text is asked of, once for a patch."""

    def logits(self, features: Any, embedding: Any) -> Any:
        """Of each voxel of the patch, float32 (192, 192, 192); the object is where they are above zero."""


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
        lattice = network_space(voxel_grid_of(request.grid), options["spacing"])
        try:
            with seconds.of("preprocess"):
                start, values = network_values(image, lattice)
        except Undefined as error:
            outcomes.update(dict.fromkeys(embeddings, error))
        else:
            crop = window(lattice, start, values.shape)
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
        "the bank of text embeddings has no %r, and this image has no text encoder (Qwen3-Embedding-4B)"
        % text
    )


def network_space(own: VoxelGrid, spacing: str) -> VoxelGrid:
    """The lattice that patches are cut from, its axes towards Superior, Anterior, Right."""
    return oriented(own if spacing == "native" else respaced(own, COMMON_SPACING), "SAR")


def network_values(image: Volume, lattice: VoxelGrid) -> Tuple[Index, Any]:
    """Where the crop begins on the lattice, and its values as patches get them, float32.

    Raises Undefined where all voxels are zero, and where all are alike.
    """
    values = sample(image.array, image.affine, lattice).astype(np.float32)
    here = box_of(values != 0)
    values = values[here]
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if not deviation > 0:
        raise Undefined(
            "nothing to standardise by: all %d voxels of the crop are alike" % values.size
        )
    a, b, c = (own.start for own in here)
    return (a, b, c), (values - mean) / deviation


def segment(
    crop: Volume, embeddings: Mapping[str, Any], network: Network, seconds: Seconds
) -> Dict[str, Any]:
    """The mask of each target in the crop. Each patch's features are made once for all targets; memory: 2 bytes a voxel and target."""
    shape = crop.array.shape
    # in 16 bits as upstream has them
    votes = {name: np.zeros(shape, np.float16) for name in embeddings}
    importance = gaussian(PATCH)
    for start in starts(shape):
        here, part = overlap(start, PATCH, shape)
        with seconds.of("preprocess"):
            patch = np.zeros(PATCH, np.float32)
            patch[part] = crop.array[here]
            space = window(VoxelGrid(shape, crop.affine), start, PATCH)
        with seconds.of("infer"):
            features = network.features(Volume(patch, space.affine))
            for name, embedding in embeddings.items():
                logits = network.logits(features, embedding)
                votes[name][here] = votes[name][here] + logits[part] * importance[part]
            del features
    if any(np.isinf(own).any() for own in votes.values()):
        raise OverflowError(
            "the weighted logits are too large for 16 bits, in which VoxTell adds them up"
        )
    return {name: votes.pop(name) > 0 for name in embeddings}


def starts(shape: Index) -> List[Index]:
    """Where patches begin, by nnU-Net's rule: equal steps of at most half a patch; a smaller crop lies in the middle of one."""
    lines = []
    for size in shape:
        beyond = max(size - EDGE, 0)
        count = ceil(beyond / (EDGE / 2)) + 1
        before = max(EDGE - size, 0) // 2
        lines.append([round(beyond / max(count - 1, 1) * n) - before for n in range(count)])
    return list(product(*lines))
