"""SAT's pipeline from an image and names of organs to masks: pure functions that take the network.

It follows upstream's inference (zhaoziheng/SAT at 5676be5, data/inference_dataset.py and
evaluate/inference_engine.py): turn to RAS+, resample to 1 x 1 x 3 mm as MONAI does, crop to the
positive voxels' box, clip and standardise by the crop's values, patches of 288 x 288 x 96 half a
patch apart, probabilities blended with a gaussian, above one half.

Upstream saves masks of the crop with an identity as affine, and all organs in one volume whose
labels add up where organs overlap. Here each target's mask is put back on the image's grid.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Dict, List, Mapping, Protocol, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.patches import box_of, gaussian
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    put_back,
    respaced_from_first,
    sample,
    voxel_grid_of,
    window,
)

SPACING = (1.0, 1.0, 3.0)
PATCH = (288, 288, 96)
CT_WINDOW = (-500.0, 1000.0)
PERCENTILES = (0.5, 99.5)
#: the word of each modality; upstream takes any text that contains one of these, and then "pet/ct"
#: for "ct"
MODALITIES = {"CT": "ct", "MR": "mri", "PT": "pet"}

OPTIONS = {"words": ("published", "asked")}

#: organ -> its name in the training data (labels of zhaoziheng/SAT-DS, data/jsonl)
PUBLISHED = {
    "bladder": "urinary bladder",
    "kidney left": "left kidney",
    "kidney right": "right kidney",
    "large intestine": "colon",
    "lesion": "tumor",
    "lungs": "lung",
    "oesophagus": "esophagus",
    "tumour": "tumor",
}

Index = Tuple[int, int, int]


class Network(Protocol):
    """What the pipeline needs."""

    def query(self, words: str, modality: str) -> Any:
        """The embedded query of a text for images of a modality ("ct", "mri", "pet")."""

    def features(self, patch: Volume) -> Any:
        """A patch's features, computed once for all queries."""

    def probabilities(self, features: Any, query: Any) -> Any:
        """The probability of each voxel of the patch, float32 (288, 288, 96)."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    modality = MODALITIES[next(iter(request.images))]
    words = {
        t.name: words_for(t.text, options["words"])
        for t in request.targets
        if t.text and t.text.strip()
    }
    outcomes: Dict[str, Any] = {
        t.name: Unsupported("needs the organ's name as text") for t in request.targets
    }
    notes: Dict[str, Any] = {"options": dict(options), "modality": modality, "words": words}
    if words:
        network_grid = network_grid_of(voxel_grid_of(request.grid))
        try:
            with seconds.of("preprocess"):
                start, values = network_values(image, network_grid, modality)
        except Undefined as error:
            outcomes.update(dict.fromkeys(words, error))
        else:
            notes["crop"] = {
                "start": list(start),
                "shape": list(values.shape),
                "patches": len(starts(values.shape)),
            }
            crop = Volume(values, window(network_grid, start, values.shape).affine)
            masks = segment(crop, words, modality, network, seconds)
            with seconds.of("postprocess"):
                outcomes.update(
                    {name: _back(masks.pop(name), start, network_grid, request) for name in words}
                )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def words_for(text: str, which: str) -> str:
    """The prompt for a target's text: in lower case as upstream, or the training data's word."""
    words = " ".join(text.lower().split())
    return PUBLISHED.get(words, words) if which == "published" else words


def network_grid_of(image_grid: VoxelGrid) -> VoxelGrid:
    """The grid from which patches are cut, before the crop."""
    return respaced_from_first(canonical(image_grid), SPACING)


def network_values(image: Volume, network_grid: VoxelGrid, modality: str) -> Tuple[Index, Any]:
    """The crop's first voxel on the network's grid, and its values as patches get them, float32.

    Raises Undefined if no voxel is positive, or all are equal.
    """
    values = sample(image.array, image.affine, network_grid, outside=None).astype(np.float32)
    box = box_of(values > 0)
    values = values[box]
    low, high = CT_WINDOW if modality == "ct" else np.percentile(values, PERCENTILES)
    values = np.clip(values, float(low), float(high))
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if not deviation > 0:
        raise Undefined(
            "nothing to standardise by: all %d voxels of the crop are equal" % values.size
        )
    a, b, c = (part.start for part in box)
    return (a, b, c), (values - mean) / deviation


def segment(
    crop: Volume, words: Mapping[str, str], modality: str, network: Network, seconds: Seconds
) -> Dict[str, Any]:
    """The mask of each target in the crop.

    Each patch's features are computed once for all targets. Memory: 4 bytes a voxel and target.
    """
    shape = crop.array.shape
    with seconds.of("text"):
        queries = {name: network.query(text, modality) for name, text in words.items()}
    votes = {name: np.zeros(shape, np.float32) for name in words}
    weights = np.zeros(shape, np.float32)
    importance = gaussian(PATCH)
    for start in starts(shape):
        in_crop = tuple(slice(n, min(n + edge, size)) for n, edge, size in zip(start, PATCH, shape))
        in_patch = tuple(slice(0, side.stop - side.start) for side in in_crop)
        with seconds.of("preprocess"):
            patch = np.zeros(PATCH, np.float32)
            patch[in_patch] = crop.array[in_crop]
            patch_grid = window(VoxelGrid(shape, crop.affine), start, PATCH)
        with seconds.of("infer"):
            features = network.features(Volume(patch, patch_grid.affine))
            for name, query in queries.items():
                votes[name][in_crop] += (
                    network.probabilities(features, query)[in_patch] * importance[in_patch]
                )
            weights[in_crop] += importance[in_patch]
            del features
    return {name: votes.pop(name) / weights > 0.5 for name in words}


def starts(shape: Index) -> List[Index]:
    """First voxels of patches: half a patch apart, the last at the border; one for a small crop."""
    lines = []
    for size, edge in zip(shape, PATCH):
        half = edge // 2
        count = max(-(-size // half) - 1, 1)
        lines.append([max(min(n * half, size - edge), 0) for n in range(count)])
    return list(product(*lines))


def _back(mask: Any, start: Index, network_grid: VoxelGrid, request: Request) -> Any:
    """A crop's mask on the image, as MONAI inverts: background outside the crop.

    Beyond the network's grid the border's value continues.
    """
    padded = np.zeros(network_grid.shape, bool)
    padded[tuple(slice(n, n + size) for n, size in zip(start, mask.shape))] = mask
    return put_back(padded, network_grid, request.grid, outside=None)
