"""Where the body is in an image: a coarse mask, its volume, and its place in the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluator.imaging.geometry import affine_of, spacing, to_index, to_world, voxel_ml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

#: the mask has about one voxel for each of these, mm
STEP_MM = 6.0
#: CT: what is denser belongs to the body, HU
AIR_HU = -400.0
#: PET and MR: what is above this part of the median of the bright half belongs to the body
PART_OF_BRIGHT = 0.15
#: places of a body that are kept, at least this many of more
MOST_PLACES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Body:
    """The body in an image."""

    grid: Grid
    #: world positions of voxels of the mask, an even part of them, (n, 3) mm
    places: NDArray[np.float64]
    volume_ml: float
    #: mean of the image's values in the body
    mean: float


def find_body(
    image: NDArray[np.float32], grid: Grid, scale: Literal["HU", "relative"]
) -> Body | None:
    """Find the largest connected structure above air, the holes of its axial slices filled.

    Args:
        image: (i, j, k), finite.
        grid: of the image.
        scale: "HU" for CT; "relative" for images whose air is near 0.

    Returns:
        None if nothing is above air.
    """
    from scipy import ndimage  # not needed at other depths

    affine = affine_of(grid)
    steps = [max(1, round(STEP_MM / size)) for size in spacing(affine)]
    first = [min(step, size) // 2 for step, size in zip(steps, grid.shape, strict=True)]
    coarse = image[tuple(slice(at, None, step) for at, step in zip(first, steps, strict=True))]
    above = coarse > (AIR_HU if scale == "HU" else _threshold(coarse))
    labels, count = ndimage.label(above)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    mask = labels == sizes.argmax()
    # the lungs are open to the outside by the airways, but closed in axial slices
    axial = int(np.abs(affine[2, :3]).argmax())
    for plane in np.moveaxis(mask, axial, 0):
        plane[...] = ndimage.binary_fill_holes(plane)
    voxels = np.argwhere(mask)
    chosen = voxels[:: max(len(voxels) // MOST_PLACES, 1)]
    return Body(
        grid=grid,
        places=to_world(affine, chosen * steps + first),
        volume_ml=len(voxels) * voxel_ml(affine) * float(np.prod(steps)),
        mean=float(coarse[mask].mean(dtype=np.float64)),
    )


def body_shift_mm(first: Body, second: Body) -> float | None:
    """The distance between the centres of two bodies within the field that both images show.

    Returns:
        Millimetres; None if a body has no part in the other image's field.
    """
    centres = []
    for body, field in ((first, second), (second, first)):
        index = to_index(affine_of(field.grid), body.places)
        inside = ((index > -0.5) & (index < np.array(field.grid.shape) - 0.5)).all(axis=1)
        if not inside.any():
            return None
        centres.append(body.places[inside].mean(axis=0))
    return float(np.linalg.norm(centres[0] - centres[1]))


def _threshold(values: NDArray[np.float32]) -> float:
    bright = values[values > values.mean(dtype=np.float64)]
    return PART_OF_BRIGHT * float(np.median(bright)) if bright.size else float(values.max())
