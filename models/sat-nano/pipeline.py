"""SAT's way from an image and the names of organs to masks, with the network given: pure functions of their arguments.

As upstream's inference does it (zhaoziheng/SAT at 5676be5, data/inference_dataset.py and
evaluate/inference_engine.py): turn to RAS+, resample to 1 x 1 x 3 mm as MONAI does, crop to the
positive voxels' box, clip and standardise by what the crop holds, patches of 288 x 288 x 96 half a
patch apart, probabilities blended with a gaussian, above one half.

Upstream saves masks in that cropped space with an identity for an affine, and all organs in one
volume whose labels add up where organs overlap. Here each target's mask is put back on the image's
own grid.
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

#: other words for what the training data call otherwise (labels of zhaoziheng/SAT-DS, data/jsonl)
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
        """What a text asks for in images of this modality ("ct", "mri", "pet")."""

    def features(self, patch: Volume) -> Any:
        """All that every query is asked of, once for a patch."""

    def probabilities(self, features: Any, query: Any) -> Any:
        """Of each voxel of the patch, float32 (288, 288, 96)."""


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
        lattice = network_space(voxel_grid_of(request.grid))
        try:
            with seconds.of("preprocess"):
                start, values = network_values(image, lattice, modality)
        except Undefined as error:
            outcomes.update(dict.fromkeys(words, error))
        else:
            notes["crop"] = {
                "start": list(start),
                "shape": list(values.shape),
                "patches": len(starts(values.shape)),
            }
            crop = Volume(values, window(lattice, start, values.shape).affine)
            masks = segment(crop, words, modality, network, seconds)
            with seconds.of("postprocess"):
                outcomes.update(
                    {name: _back(masks.pop(name), start, lattice, request) for name in words}
                )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def words_for(text: str, which: str) -> str:
    """The prompt for a target's text: lower case as upstream has it, and the word of the training data for it."""
    words = " ".join(text.lower().split())
    return PUBLISHED.get(words, words) if which == "published" else words


def network_space(own: VoxelGrid) -> VoxelGrid:
    """The lattice that patches are cut from, before the crop."""
    return respaced_from_first(canonical(own), SPACING)


def network_values(image: Volume, lattice: VoxelGrid, modality: str) -> Tuple[Index, Any]:
    """Where the crop begins on the lattice, and its values as patches get them, float32.

    Raises Undefined where no voxel is positive, and where all are alike.
    """
    values = sample(image.array, image.affine, lattice, outside=None).astype(np.float32)
    here = box_of(values > 0)
    values = values[here]
    low, high = CT_WINDOW if modality == "ct" else np.percentile(values, PERCENTILES)
    values = np.clip(values, float(low), float(high))
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if not deviation > 0:
        raise Undefined(
            "nothing to standardise by: all %d voxels of the crop are alike" % values.size
        )
    a, b, c = (own.start for own in here)
    return (a, b, c), (values - mean) / deviation


def segment(
    crop: Volume, words: Mapping[str, str], modality: str, network: Network, seconds: Seconds
) -> Dict[str, Any]:
    """The mask of each target in the crop. Each patch's features are made once for all targets; memory: 4 bytes a voxel and target."""
    shape = crop.array.shape
    with seconds.of("text"):
        queries = {name: network.query(text, modality) for name, text in words.items()}
    votes = {name: np.zeros(shape, np.float32) for name in words}
    weights = np.zeros(shape, np.float32)
    importance = gaussian(PATCH)
    for start in starts(shape):
        here = tuple(slice(n, min(n + edge, size)) for n, edge, size in zip(start, PATCH, shape))
        part = tuple(slice(0, own.stop - own.start) for own in here)
        with seconds.of("preprocess"):
            patch = np.zeros(PATCH, np.float32)
            patch[part] = crop.array[here]
            space = window(VoxelGrid(shape, crop.affine), start, PATCH)
        with seconds.of("infer"):
            features = network.features(Volume(patch, space.affine))
            for name, query in queries.items():
                votes[name][here] += network.probabilities(features, query)[part] * importance[part]
            weights[here] += importance[part]
            del features
    return {name: votes.pop(name) / weights > 0.5 for name in words}


def starts(shape: Index) -> List[Index]:
    """Where patches begin: half a patch apart, the last one against the border; one where the crop is smaller."""
    lines = []
    for size, edge in zip(shape, PATCH):
        half = edge // 2
        count = max(-(-size // half) - 1, 1)
        lines.append([max(min(n * half, size - edge), 0) for n in range(count)])
    return list(product(*lines))


def _back(mask: Any, start: Index, lattice: VoxelGrid, request: Request) -> Any:
    """A crop's mask on the image: background outside the crop, and beyond the lattice the border's value, as MONAI inverts."""
    whole = np.zeros(lattice.shape, bool)
    whole[tuple(slice(n, n + size) for n, size in zip(start, mask.shape))] = mask
    return put_back(whole, lattice, request.grid, outside=None)
