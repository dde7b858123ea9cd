"""SAM-Med3D's pipeline from an image and clicks to masks: pure functions that take the network.

It follows upstream's inference (uni-medical/SAM-Med3D, utils/infer_utils.py at f3de1fa): resample
to 1.5 mm, turn to RAS+, crop or pad 128 voxels, standardise by the positive voxels of the crop,
click after click with the low-resolution mask fed back, sigmoid above one half, nearest voxel back.
Two things differ, because upstream takes them from the reference: the clicks are the request's, and
the crop is centred on the first foreground click (an option of upstream's training,
utils/data_loader.py, ``pcc``). A CT is cut at -1000 and 1000 HU as in upstream's training and
validation, which its inference code leaves out (``ct=as-published``).

With ``large=sliding``, where a mask meets the crop's border, the crop moves by half its
size, and the crop in which a voxel lies deepest decides it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Protocol, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Target, Unsupported, Volume, each_target
from zoo_transforms.intensity import Undefined, standardised
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    put_back,
    respaced,
    sample_box,
    voxel_grid_of,
    voxel_of,
    window,
)
from zoo_transforms.sliding_window import slide

SPACING = (1.5, 1.5, 1.5)
EDGE = 128
SHAPE = (EDGE, EDGE, EDGE)
#: the largest number of crops for one target
MOST_CROPS = 64

#: what upstream's training and validation keep of a CT (utils/data_loader.py, ``tio.Clamp``)
HU = (-1000.0, 1000.0)

OPTIONS = {
    "large": ("single", "sliding"),
    "clicks": ("one-by-one", "together"),
    "ct": ("clamped", "as-published"),
}

Index = Tuple[int, int, int]
#: places in the crop, oldest first, and whether each is foreground
Clicks = Tuple[Tuple[Index, bool], ...]


class Network(Protocol):
    """What the pipeline needs: SAM's three steps."""

    def embed(self, crop: Volume) -> Any:
        """The image's embedding, once for a crop."""

    def decode(self, embedding: Any, clicks: Clicks, previous: Any) -> Any:
        """The low-resolution mask, from all clicks and the one before (None at first)."""

    def mask(self, low: Any) -> Any:
        """A low-resolution mask as the crop's voxels, bool (128, 128, 128)."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    network_grid = network_grid_of(voxel_grid_of(request.grid))
    clamped = "CT" in request.images and options["ct"] == "clamped"
    image = replace(image, array=np.clip(image.array, *HU)) if clamped else image
    seconds, target_notes = Seconds(), {}  # type: Seconds, Dict[str, Any]

    def segment(target: Target) -> Any:
        first = next((point for point in target.points if point.foreground), None)
        if first is None:
            return Unsupported("needs a foreground click")
        work = _Work(image, network_grid, target, network, options, seconds)
        start = crop_start(network_grid, first.ras_mm)
        if options["large"] == "sliding":
            mask, mask_grid = work.slide(start)
        else:
            mask, mask_grid = work.segment(start), window(network_grid, start, SHAPE)
        target_notes[target.name] = work.notes
        with seconds.of("postprocess"):
            return put_back(mask, mask_grid, request.grid)

    masks = each_target(request, segment)
    notes = {
        "options": dict(options),
        "crop": "centred on the first foreground click",
        "intensity": "cut at -1000 and 1000 HU" if clamped else "not cut",
        "targets": target_notes,
    }
    return Prediction(masks, notes=notes, seconds=seconds)


def network_grid_of(image_grid: VoxelGrid) -> VoxelGrid:
    """The grid from which every crop is cut."""
    return canonical(respaced(image_grid, SPACING))


def crop_start(network_grid: VoxelGrid, ras_mm: Any) -> Index:
    """First voxel of the crop centred on a world position, which is first moved onto the grid."""
    near = [
        min(max(n, 0), size - 1)
        for n, size in zip(voxel_of(network_grid, ras_mm), network_grid.shape)
    ]
    return (near[0] - EDGE // 2, near[1] - EDGE // 2, near[2] - EDGE // 2)


def network_input(image: Volume, network_grid: VoxelGrid, start: Index) -> Volume:
    """A crop's values as the network gets them, float32; Undefined if no voxel is positive."""
    values = sample_box(image.array, image.affine, network_grid, start, SHAPE)
    if image.stores_integers:
        # upstream keeps integers after resampling, truncated towards zero
        values = np.trunc(values + np.copysign(1e-6, values))
    return Volume(standardised(values, values > 0), window(network_grid, start, SHAPE).affine)


class _Work:
    """One target on one image."""

    def __init__(
        self,
        image: Volume,
        network_grid: VoxelGrid,
        target: Target,
        network: Network,
        options: Mapping[str, str],
        seconds: Seconds,
    ) -> None:
        self._image, self._network_grid, self._network = image, network_grid, network
        self._points = [
            (voxel_of(network_grid, point.ras_mm), point.foreground) for point in target.points
        ]
        self._one_by_one, self._seconds = options["clicks"] == "one-by-one", seconds
        self.notes: Dict[str, Any] = {}

    def segment(self, start: Index, derived: Index | None = None) -> Any:
        """The mask of one crop.

        ``derived``: an index of the network's grid, used as a click if the user made none here.
        """
        clicks = [(_minus(index, start), foreground) for index, foreground in self._points]
        inside = [click for click in clicks if min(click[0]) >= 0 and max(click[0]) < EDGE]
        if derived is not None and not any(foreground for _, foreground in inside):
            inside.insert(0, (_minus(derived, start), True))
        elif derived is None:
            self.notes = {"crop_start": list(start), "clicks_outside": len(clicks) - len(inside)}
        with self._seconds.of("preprocess"):
            crop = network_input(self._image, self._network_grid, start)
        with self._seconds.of("infer"):
            embedding = self._network.embed(crop)
            low = None
            for count in range(1 if self._one_by_one else len(inside), len(inside) + 1):
                low = self._network.decode(embedding, tuple(inside[:count]), low)
            return self._network.mask(low)

    def slide(self, first: Index) -> Tuple[Any, VoxelGrid]:
        """The mask of all crops that the object reaches into, on the network's grid."""

        def look(start: Index, derived: Index | None) -> Any:
            try:
                return self.segment(start, derived)
            except Undefined:
                if derived is None:
                    raise
                return None  # the crop is empty

        slid = slide([first], look, SHAPE, self._network_grid.shape, MOST_CROPS)
        self.notes |= {"crops": slid.looks, "crops_left_out": slid.left_out}
        return slid.mask, self._network_grid


def _minus(index: Index, start: Index) -> Index:
    return (index[0] - start[0], index[1] - start[1], index[2] - start[2])
