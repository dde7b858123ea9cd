"""Scans and pairs in numbers: grids, values, and place, volume and values of references."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, orientation, spacing, to_world
from evaluator.imaging.registration import volume_ml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

#: percentiles of values that a summary has
PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
#: of more values only every n-th is looked at, at least half of this many
MOST_VALUES = 400_000
#: references of fewer voxels may be equal by chance
ENOUGH_VOXELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSummary:
    """One reference in numbers."""

    voxels: int
    volume_ml: float
    #: centre of mass, world mm
    centre_mm: tuple[float, float, float]
    #: of the image's values in the reference, see ``PERCENTILES``
    values: tuple[float, ...]
    #: world directions of the faces of the image that the reference touches, such as "S"
    border: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """One scan in numbers."""

    case: str
    modality: Modality
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    orientation: str
    #: of all values of the image, see ``PERCENTILES``
    values: tuple[float, ...]
    low: float
    high: float
    #: of the values, in the order of the world's axes; equal for copies in other files
    image_hash: str
    #: of the references' voxels; empty if they have few voxels
    reference_hash: str
    #: volume of the body, ml, and mean value in it; None: no body was found
    body_ml: float | None = None
    body_mean: float | None = None
    targets: Mapping[str, TargetSummary] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSummary:
    """What two images of a case have in common."""

    case: str
    #: of the two images
    first: Modality
    second: Modality
    #: part of the smaller field of view that lies in the other one, 0 to 1
    field_overlap: float
    #: between the centres of the bodies in the common field, mm; None: not known
    body_shift_mm: float | None
    #: the reference that moved farthest, and between its centres, mm; empty, None: no reference
    farthest_target: str
    farthest_mm: float | None


def summarise_targets(
    image: NDArray[np.float32], masks: Mapping[str, GridMask]
) -> dict[str, TargetSummary]:
    """The references that are not empty, in numbers.

    Args:
        image: (i, j, k), of the scan.
        masks: target -> reference on the image's grid.
    """
    summaries = {}
    for target, mask in masks.items():
        if mask.empty:
            continue
        index = np.argwhere(mask.array) + np.array(mask.offset)
        centre = to_world(affine_of(mask.grid), index.mean(axis=0))
        inside = image[tuple(index[:: _step(len(index))].T)]
        x, y, z = centre.round(2).tolist()
        summaries[target] = TargetSummary(
            voxels=len(index),
            volume_ml=round(volume_ml(mask), 4),
            centre_mm=(x, y, z),
            values=percentiles(inside),
            border=border_faces(mask),
        )
    return summaries


def three_digits(value: float) -> str:
    """A number with three significant digits, never with an exponent."""
    return np.format_float_positional(float(f"{value:.3g}"), trim="-")


def percentiles(values: NDArray[np.float32]) -> tuple[float, ...]:
    """``PERCENTILES`` of the finite values; empty if there is none."""
    flat = values.ravel(order="K")
    flat = flat[:: _step(flat.size)]
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return ()
    return tuple(round(float(value), 5) for value in np.percentile(flat, PERCENTILES))


def border_faces(mask: GridMask) -> str:
    """World directions of the faces of the image that a mask touches, such as "S" or "LP".

    An axis of fewer than three voxels has no face.
    """
    code = orientation(affine_of(mask.grid))
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    faces = []
    for axis, letter in enumerate(code):
        size = mask.grid.shape[axis]
        if size < 3:
            continue
        if mask.offset[axis] == 0:
            faces.append(opposite[letter])
        if mask.end[axis] == size:
            faces.append(letter)
    return "".join(sorted(faces))


def content_hash(array: NDArray[Any], grid: Grid) -> str:
    """A hash of values in the order of the world's axes, whatever the file's format and axes.

    Args:
        array: (i, j, k), as read.
        grid: of the array.
    """
    linear = affine_of(grid)[:3, :3] / np.array(spacing(affine_of(grid)))
    world_axis = np.abs(linear).argmax(axis=0)
    if len(set(world_axis.tolist())) < 3:
        world_axis = np.arange(3)
    flips = [linear[row, axis] < 0 for axis, row in enumerate(world_axis)]
    turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    # the first world axis runs fastest, as in most files, so that few arrays are copied
    ordered = np.ascontiguousarray(turned.transpose(np.argsort(world_axis)).T)
    return hashlib.blake2b(ordered.data, digest_size=16).hexdigest()


def reference_hash(masks: Mapping[str, GridMask]) -> str:
    """A hash of the voxels of a scan's references; empty if they have few voxels."""
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    for target, mask in sorted(masks.items()):
        count += mask.voxel_count
        digest.update(f"{target} {mask.offset} {mask.array.shape}".encode())
        digest.update(np.packbits(mask.array).tobytes())
    return digest.hexdigest() if count >= ENOUGH_VOXELS else ""


def _step(count: int) -> int:
    return max(count // MOST_VALUES, 1)
