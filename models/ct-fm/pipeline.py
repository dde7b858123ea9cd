"""CT-FM's whole-body segmentation from a CT to masks: pure functions that take the network.

It follows upstream's evaluation (project-lighter/CT-FM at f58c89a, evaluation/totalseg.yaml): axes
turned to S, P, L, HU from -1024 to 2048 scaled to 0 to 1, crop to the voxels above zero and ten
around them, windows of 96 x 160 x 160 that overlap by 0.625, logits weighted by MONAI's gaussian,
the class with the largest sum. Upstream's images have 1.5 mm, so the image is resampled to that
first.
"""

from __future__ import annotations

from itertools import chain, groupby
from typing import Any, Dict, Iterable, Mapping, Protocol, Sequence, Tuple

import numpy as np
from scipy import ndimage

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

OPTIONS = {"spacing": ("1.5mm", "native"), "components": ("all", "largest")}

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
        """Logits of each class, float32 (classes, 96, 160, 160), writable.

        They are a tensor on the network's device, or an array.
        """

    def like_logits(self, array: Any) -> Any:
        """An array in the type of ``logits``."""

    def as_array(self, values: Any) -> Any:
        """Values in the type of ``logits`` as an array."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds = Seconds()
    targets = [target.name for target in request.targets if target.name in ORGANS]
    outcomes: Dict[str, Any] = {
        t.name: Unsupported("not one of the model's organs") for t in request.targets
    }
    notes: Dict[str, Any] = {
        "options": dict(options),
        "classes": {name: list(ORGANS[name]) for name in targets},
    }
    if targets:
        network_grid = network_grid_of(voxel_grid_of(request.grid), options["spacing"])
        try:
            with seconds.of("preprocess"):
                start, values = network_values(image, network_grid)
        except Undefined as error:
            outcomes.update(dict.fromkeys(targets, error))
        else:
            notes["crop"] = {"start": list(start), "shape": list(values.shape)}
            with seconds.of("infer"):
                labels = label(
                    Volume(values, window(network_grid, start, values.shape).affine), network
                )
            with seconds.of("postprocess"):
                label_map = np.zeros(network_grid.shape, np.uint8)
                crop = tuple(slice(n, n + size) for n, size in zip(start, labels.shape))
                if options["components"] == "largest":
                    wanted = set(chain.from_iterable(ORGANS[name] for name in targets))
                    labels = largest_components(labels, map(network.classes.index, wanted))
                label_map[crop] = labels
                for name in targets:
                    classes = [network.classes.index(label) for label in ORGANS[name]]
                    outcomes[name] = put_back(
                        np.isin(label_map, classes), network_grid, request.grid, outside=None
                    )
    return Prediction(outcomes, notes=notes, seconds=seconds)


def network_grid_of(image_grid: VoxelGrid, spacing: str) -> VoxelGrid:
    """The grid from which windows are cut, its axes towards Superior, Posterior, Left."""
    oriented_grid = oriented(image_grid, "SPL")
    return oriented_grid if spacing == "native" else respaced_from_first(oriented_grid, SPACING)


def network_values(image: Volume, network_grid: VoxelGrid) -> Tuple[Index, Any]:
    """The crop's first voxel on the network's grid, and its values from 0 to 1, float32.

    Raises Undefined if no voxel is above -1024 HU.
    """
    low, high = HU
    values = sample(image.array, image.affine, network_grid, outside=None)
    values = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    box = tuple(
        slice(max(part.start - MARGIN, 0), min(part.stop + MARGIN, size))
        for part, size in zip(box_of(values > 0), values.shape)
    )
    return (box[0].start, box[1].start, box[2].start), values[box]


def label(crop: Volume, network: Network) -> Any:
    """The class of each voxel of the crop, uint8.

    Windows run from low to high along the first axis, and slices that later windows do not reach
    are decided immediately: the sums of all classes are held for 96 slices only, on the network's
    device. A window's logits take a gigabyte.
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
            window_grid = window(VoxelGrid(shape, crop.affine), start, WINDOW)
            in_crop, in_window = overlap(start, WINDOW, shape)
            logits = network.logits(
                Volume(cut(crop.array, start, WINDOW, beyond=0.0), window_grid.affine)
            )[(slice(None), *in_window)]
            logits *= weights[in_window]
            slab = slice(in_crop[0].start - low, in_crop[0].stop - low)
            sums[(slice(None), slab, *in_crop[1:])] += logits
        decided = next_low - low
        labels[low:next_low] = network.as_array(sums[:, :decided].argmax(0))
        # slices move down by steps of their length: a tensor's copy must not overlap its source
        for first in range(0, WINDOW[0] - decided, decided):
            moved = sums[:, first + decided : first + 2 * decided]
            sums[:, first : first + moved.shape[1]] = moved
        sums[:, WINDOW[0] - decided :] = 0
    return labels


def largest_components(labels: Any, classes: Iterable[int]) -> Any:
    """The map with the largest component (26 neighbours) of each of these classes, the rest 0.

    As MONAI's ``KeepLargestConnectedComponent`` does with a map: each class by itself.
    """
    kept = labels.copy()
    for number in classes:
        components, count = ndimage.label(labels == number, structure=np.ones((3, 3, 3)))
        if count > 1:
            sizes = np.bincount(components.ravel())
            largest = 1 + int(np.argmax(sizes[1:]))
            kept[(components > 0) & (components != largest)] = 0
    return kept


def gaussian() -> Any:
    """The weight of each voxel of a window, float32: MONAI's gaussian, at least 0.001.

    Its sigma is an eighth of the window.
    """
    lines = []
    for size in WINDOW:
        places = np.arange(size) - (size - 1) / 2
        lines.append(np.exp(-(places**2) / (2 * (size / 8) ** 2)))
    weights = (lines[0][:, None, None] * lines[1][:, None] * lines[2]).astype(np.float32)
    return np.maximum(weights, max(float(weights.min()), 1e-3))
