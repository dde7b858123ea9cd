"""CT-FM's whole-body segmentation from a CT to masks, with the network given: pure functions of their arguments.

As upstream's evaluation does it (project-lighter/CT-FM at f58c89a, evaluation/totalseg.yaml): axes turned to S, P, L, HU from
-1024 to 2048 scaled to 0 to 1, crop to the voxels above zero and ten around them, windows of 96 x 160 x 160 that overlap
by 0.625, logits weighted by MONAI's gaussian, the class with the largest sum. Its images come at 1.5 mm, so ours are
resampled to that first.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Dict, Mapping, Protocol, Sequence, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.patches import box_of
from zoo_transforms.resampling import (
    VoxelGrid,
    oriented,
    overlap,
    put_back,
    respaced_from_first,
    sample,
    voxel_grid_of,
    window,
)
from zoo_transforms.sliding_window import covering, cut

SPACING = (1.5, 1.5, 1.5)
WINDOW = (96, 160, 160)
SHARE = 0.625
HU = (-1024.0, 2048.0)
MARGIN = 10

OPTIONS = {"spacing": ("1.5mm", "native")}

#: the classes that make up each organ, by TotalSegmentator's names
ORGANS: Dict[str, Tuple[str, ...]] = {
    "spleen": ("spleen",),
    "kidney-right": ("kidney_right",),
    "kidney-left": ("kidney_left",),
    "liver": ("liver",),
    "stomach": ("stomach",),
    "pancreas": ("pancreas",),
    "lung": (
        "lung_upper_lobe_left",
        "lung_lower_lobe_left",
        "lung_upper_lobe_right",
        "lung_middle_lobe_right",
        "lung_lower_lobe_right",
    ),
    "esophagus": ("esophagus",),
    "colon": ("colon",),
    "bladder": ("urinary_bladder",),
    "heart": ("heart",),
    "aorta": ("aorta",),
    "brain": ("brain",),
}

Index = Tuple[int, int, int]


class Network(Protocol):
    """What the pipeline needs."""

    #: name of each channel
    classes: Sequence[str]

    def logits(self, patch: Volume) -> Any:
        """Of each class, float32 (classes, 96, 160, 160), which may be written into; a tensor of where the network works, or an array."""

    def like_logits(self, array: Any) -> Any:
        """An array as what ``logits`` gives."""

    def as_array(self, values: Any) -> Any:
        """The way back."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    known = [target.name for target in request.targets if target.name in ORGANS]
    outcomes: Dict[str, Any] = {
        t.name: Unsupported("not one of the model's organs") for t in request.targets
    }
    notes: Dict[str, Any] = {
        "options": dict(options),
        "classes": {name: list(ORGANS[name]) for name in known},
    }
    if known:
        lattice = network_space(voxel_grid_of(request.grid), options["spacing"])
        try:
            with seconds.of("preprocess"):
                start, values = network_values(image, lattice)
        except Undefined as error:
            outcomes.update(dict.fromkeys(known, error))
        else:
            notes["crop"] = {"start": list(start), "shape": list(values.shape)}
            with seconds.of("infer"):
                labels = label(Volume(values, window(lattice, start, values.shape).affine), network)
            with seconds.of("postprocess"):
                whole = np.zeros(lattice.shape, np.uint8)
                whole[tuple(slice(n, n + size) for n, size in zip(start, labels.shape))] = labels
                for name in known:
                    classes = [network.classes.index(own) for own in ORGANS[name]]
                    outcomes[name] = put_back(
                        np.isin(whole, classes), lattice, request.grid, outside=None
                    )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def network_space(own: VoxelGrid, spacing: str) -> VoxelGrid:
    """The lattice that windows are cut from, its axes towards Superior, Posterior, Left."""
    turned = oriented(own, "SPL")
    return turned if spacing == "native" else respaced_from_first(turned, SPACING)


def network_values(image: Volume, lattice: VoxelGrid) -> Tuple[Index, Any]:
    """Where the crop begins on the lattice, and its values from 0 to 1, float32. Raises Undefined where no voxel is above -1024 HU."""
    low, high = HU
    values = sample(image.array, image.affine, lattice, outside=None)
    values = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    here = tuple(
        slice(max(own.start - MARGIN, 0), min(own.stop + MARGIN, size))
        for own, size in zip(box_of(values > 0), values.shape)
    )
    return (here[0].start, here[1].start, here[2].start), values[here]


def label(crop: Volume, network: Network) -> Any:
    """The class of each voxel of the crop, uint8.

    Windows come from low to high along the first axis, and what the next ones do not reach is
    decided at once: the sums of all classes are held for 96 slices, not for the whole body, and
    where the network works: a window's logits are a gigabyte.
    """
    shape = crop.array.shape
    labels, weights = np.zeros(shape, np.uint8), network.like_logits(gaussian())
    sums = network.like_logits(np.zeros((len(network.classes), WINDOW[0], *shape[1:]), np.float32))
    slabs = [
        (max(low, 0), list(same))
        for low, same in groupby(covering(shape, WINDOW, SHARE), key=lambda n: n[0])
    ]
    for (low, starts), next_low in zip(slabs, [*(low for low, _ in slabs[1:]), shape[0]]):
        for start in starts:
            space = window(VoxelGrid(shape, crop.affine), start, WINDOW)
            here, part = overlap(start, WINDOW, shape)
            logits = network.logits(
                Volume(cut(crop.array, start, WINDOW, beyond=0.0), space.affine)
            )[(slice(None), *part)]
            logits *= weights[part]
            slab = slice(here[0].start - low, here[0].stop - low)
            sums[(slice(None), slab, *here[1:])] += logits
        decided = next_low - low
        labels[low:next_low] = network.as_array(sums[:, :decided].argmax(0))
        # slices move down by steps of their own length: tensors do not copy to where they are read
        # from
        for first in range(0, WINDOW[0] - decided, decided):
            moved = sums[:, first + decided : first + 2 * decided]
            sums[:, first : first + moved.shape[1]] = moved
        sums[:, WINDOW[0] - decided :] = 0
    return labels


def gaussian() -> Any:
    """The weight of each voxel of a window, float32: MONAI's gaussian of sigma an eighth, at least 0.001."""
    lines = []
    for size in WINDOW:
        places = np.arange(size) - (size - 1) / 2
        lines.append(np.exp(-(places**2) / (2 * (size / 8) ** 2)))
    weights = (lines[0][:, None, None] * lines[1][:, None] * lines[2]).astype(np.float32)
    return np.maximum(weights, max(float(weights.min()), 1e-3))
