"""VIBESegmentator's pipeline from an image to masks: pure functions that take the network.

It follows the package TPTBox 1.1.0, which upstream's command calls (``VibeSeg/inference_nnunet.py``
and ``nnUnet_utils/inference_api.py``): axes turned, large intensities scaled down, the image
resampled as a whole by a cubic spline, 16-bit numbers, five mirrored voxels on each side, nnU-Net,
the nearest voxel back.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Sequence, Tuple

import numpy as np

from zoo_sdk import Prediction, Request, Seconds, Unsupported, Volume
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import (
    VoxelGrid,
    oriented,
    reversed_axes,
    sample,
    voxel_grid_of,
    window,
)
from zoo_transforms.splines import respaced_with_edges

#: organ -> labels of model 100, as upstream's README lists them
ORGANS: Dict[str, Tuple[int, ...]] = {
    "liver": (5,),
    "kidney-left": (3,),
    "kidney-right": (2,),
    "heart": (24,),
    "spleen": (1,),
    "aorta": (25,),
    "lung": (10, 11, 12, 13, 14),
    "bladder": (21,),
    "pancreas": (7,),
    "esophagus": (15,),
    "stomach": (6,),
}

OPTIONS: Dict[str, Tuple[str, ...]] = {}
#: mirrored voxels on each side
MARGIN = 5
#: an image with a brighter voxel is scaled, and the voxel's intensity after that
BRIGHT, SCALED = 10000.0, 1000.0
#: an image whose voxel sizes differ by no more than this is not resampled (mm, and relative)
SAME_SIZE = {"atol": 1e-3, "rtol": 1e-5}


class Network(Protocol):
    """What the pipeline needs."""

    #: directions of the axes that training used, such as "RAS"; empty for those of the file
    orientation: str
    #: voxel sizes along these axes in reverse order, mm
    spacing: Sequence[float]

    def label_map(self, image: Volume) -> Any:
        """The labels of an image, on its own voxels."""


def predict(
    image: Volume, request: Request, network: Network, options: Mapping[str, str]
) -> Prediction:
    """Answer a request about one image; there are no options."""
    seconds = Seconds()
    outcomes: Dict[str, Any] = {
        target.name: Unsupported("VIBESegmentator has no %s" % target.name)
        for target in request.targets
    }
    organs = [organ for organ in outcomes if organ in ORGANS]
    notes: Dict[str, Any] = {"options": dict(options), "labels": {o: ORGANS[o] for o in organs}}
    if organs:
        try:
            outcomes.update(_masks(image, request, network, organs, seconds))
        except Undefined as error:
            outcomes.update(dict.fromkeys(organs, error))
    return Prediction(outcomes, notes=notes, seconds=seconds)


def _masks(
    image: Volume, request: Request, network: Network, organs: Sequence[str], seconds: Seconds
) -> Dict[str, Any]:
    with seconds.of("preprocess"):
        view = network_values(image, request, network.orientation, network.spacing)
    with seconds.of("infer"):
        labels = np.asarray(network.label_map(view))
    with seconds.of("postprocess"):
        grid = voxel_grid_of(request.grid)
        inner = tuple(slice(MARGIN, size - MARGIN) for size in labels.shape)
        a, b, c = (size - 2 * MARGIN for size in labels.shape)
        whole = VoxelGrid(labels.shape, view.affine)
        inner_grid = window(whole, (MARGIN, MARGIN, MARGIN), (a, b, c))
        on_image = sample(labels[inner], inner_grid.affine, grid, nearest=True, outside=None)
        return {organ: np.isin(on_image, ORGANS[organ]) for organ in organs}


def network_values(
    image: Volume, request: Request, orientation: str, spacing: Sequence[float]
) -> Volume:
    """The image as the network gets it, margin included: float32 with the values of 16 bits.

    Args:
        image: the image on its grid.
        request: names that grid.
        orientation: directions of the axes before they are reversed; empty for the file's.
        spacing: along the reversed axes, mm.

    Raises:
        Undefined: upstream has no answer for such an image.
    """
    grid = voxel_grid_of(request.grid)
    grid = reversed_axes(oriented(grid, orientation) if orientation else grid)
    if min(grid.shape) < 2:
        raise Undefined("the image is one voxel thick; VIBESegmentator needs two in each direction")
    values = sample(image.array, image.affine, grid, outside=None).astype(np.float32)
    if not np.isfinite(values).all():
        raise Undefined("the image has voxels that are not finite, which a spline cannot resample")
    if values.max() > BRIGHT:
        values /= values.max() / SCALED
    view = Volume(values, grid.affine)
    if not np.isclose(spacing, grid.spacing, **SAME_SIZE).all():
        view = respaced_with_edges(values, grid, spacing)
    with np.errstate(over="ignore"):
        short = view.array.astype(np.float16)
    if not np.isfinite(short).all():
        raise Undefined(
            "the image has values below -65504, which the network's numbers cannot hold"
        )
    if not short.any():
        raise Undefined("all voxels are zero: there is nothing to segment")
    padded = np.pad(short, MARGIN, mode="reflect").astype(np.float32)
    around = VoxelGrid(short.shape, view.affine)
    return Volume(padded, window(around, (-MARGIN, -MARGIN, -MARGIN), padded.shape).affine)
