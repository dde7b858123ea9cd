"""The failure mode of a poor mask, by its overlap with the references of the scan.

The failure modes are tried in a fixed order with fixed thresholds; the first that fits is the
result. An explanation by position or size is tested: the reference, moved to the prediction's
centre and scaled to its volume, must agree with the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.imaging.geometry import affine_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask

    Point = NDArray[np.float64]

EMPTY, WHOLE_BODY, WRONG_SIDE, NEIGHBOUR = (
    "empty", "whole-body leak", "wrong side", "neighbour organ",
)  # fmt: skip
SHIFTED, WRONG_SCALE, FRAGMENT, LEAK, ELSEWHERE, INACCURATE = (
    "shifted", "wrong scale", "fragment", "leak", "elsewhere", "inaccurate",
)  # fmt: skip

FAILURE_MODES: Mapping[str, str] = {
    EMPTY: "the mask has no voxel",
    WHOLE_BODY: (
        "at least ten times the reference's volume, and a fifth of the grid or half of each of "
        "three other references"
    ),
    WRONG_SIDE: (
        "overlaps the organ of the other side more than the target, by a Dice of at least 0.3 or "
        "by half of the mask"
    ),
    NEIGHBOUR: (
        "overlaps another reference more than the target, by a Dice of at least 0.3 or by half of "
        "the mask"
    ),
    SHIFTED: (
        "the volume is within a factor of 1.5, and the reference moved to the mask's centre has a "
        "Dice of at least 0.6"
    ),
    WRONG_SCALE: (
        "another volume, within a factor of 27 (3 in length), some overlap, and the reference "
        "moved and scaled to the mask has a Dice of at least 0.6"
    ),
    FRAGMENT: "precision of at least 0.5 and sensitivity below 0.5",
    LEAK: "sensitivity of at least 0.5 and precision below 0.5",
    ELSEWHERE: "precision below 0.01",
    INACCURATE: "none of the other failure modes",
}
"""Every failure mode with its rule, in the order in which they are tried."""

#: largest number of points at which two masks are compared; they are evenly spaced
_POINTS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMode:
    """The failure mode of a mask, with the measurements that it was derived from."""

    #: a key of ``FAILURE_MODES``
    name: str
    #: the other reference that the mask overlaps most, and its Dice
    neighbour: str | None = None
    neighbour_dice: float = 0.0
    #: predicted divided by reference volume
    volume_ratio: float = 0.0
    #: share of the mask inside the reference
    precision: float = 0.0
    #: share of the reference inside the mask
    sensitivity: float = 0.0
    #: distance of the centres of mass, mm; None for an empty mask
    shift_mm: float | None = None


def classify(prediction: GridMask, references: Mapping[str, GridMask], target: str) -> FailureMode:
    """Determine the failure mode of a mask.

    Args:
        prediction: The mask.
        references: All references of the scan by target, on the mask's grid.
        target: The target of the mask; its reference is not empty.
    """
    reference = references[target]
    size, reference_size = prediction.voxel_count, reference.voxel_count
    if not size:
        return FailureMode(name=EMPTY)
    shared = {
        name: shared_voxels(prediction, mask) for name, mask in references.items() if not mask.empty
    }
    dice = {
        name: 2 * count / (size + references[name].voxel_count) for name, count in shared.items()
    }
    neighbours = {name: value for name, value in dice.items() if name != target}
    neighbour = max(neighbours, key=lambda name: (neighbours[name], name), default=None)
    move = _centre(prediction) - _centre(reference)
    measured = FailureMode(
        name=INACCURATE,
        neighbour=neighbour if neighbour and neighbours[neighbour] > 0 else None,
        neighbour_dice=neighbours.get(neighbour or "", 0.0),
        volume_ratio=size / reference_size,
        precision=shared[target] / size,
        sensitivity=shared[target] / reference_size,
        shift_mm=float(np.linalg.norm(affine_of(reference.grid)[:3, :3] @ move)),
    )

    def matches_instead(name: str | None) -> bool:
        """Report whether the mask matches another reference better than the target's."""
        if name not in neighbours or neighbours[name] <= dice[target]:
            return False
        return neighbours[name] >= 0.3 or shared[name] >= size / 2

    half_covered = [
        name
        for name, count in shared.items()
        if name != target and count >= references[name].voxel_count / 2
    ]
    is_huge = size >= np.prod(reference.grid.shape) / 5 or len(half_covered) >= 3
    if size >= 10 * reference_size and is_huge:
        return replace(measured, name=WHOLE_BODY)
    mirror = mirrored(target)
    if matches_instead(mirror):
        dice_of_mirror = neighbours[mirror]
        return replace(measured, name=WRONG_SIDE, neighbour=mirror, neighbour_dice=dice_of_mirror)
    if matches_instead(neighbour):
        return replace(measured, name=NEIGHBOUR)
    return replace(measured, name=_by_shape(prediction, reference, move, measured))


def mirrored(target: str) -> str:
    """Return the organ of the other side (kidney-left: kidney-right), or the target itself."""
    swap = {"left": "right", "right": "left"}
    return "-".join(swap.get(part, part) for part in target.split("-"))


def shared_voxels(first: GridMask, second: GridMask) -> int:
    """Count the voxels that two masks on one grid share."""
    low = np.maximum(first.offset, second.offset)
    high = np.minimum(_end(first), _end(second))
    if (low >= high).any():
        return 0
    crops = []
    for mask in (first, second):
        region = tuple(map(slice, low - mask.offset, high - mask.offset))
        crops.append(mask.array[region])
    return int(np.count_nonzero(np.logical_and(*crops)))


def _by_shape(prediction: GridMask, reference: GridMask, move: Point, measured: FailureMode) -> str:
    ratio, precision, sensitivity = (
        measured.volume_ratio,
        measured.precision,
        measured.sensitivity,
    )
    is_similar = 1 / 1.5 <= ratio <= 1.5
    is_scaled = sensitivity > 0 and 1 / 27 <= ratio <= 27
    if is_similar or is_scaled:
        factor = 1.0 if is_similar else ratio ** (1 / 3)
        if _moved_dice(prediction, reference, move, factor) >= 0.6:
            return SHIFTED if is_similar else WRONG_SCALE
    if precision < 0.01:
        return ELSEWHERE
    if precision >= 0.5 and sensitivity < 0.5:
        return FRAGMENT
    if sensitivity >= 0.5 and precision < 0.5:
        return LEAK
    return INACCURATE


def _centre(mask: GridMask) -> Point:
    """Return the centre of mass in voxels of the grid."""
    means = []
    for axis in range(3):
        counts = mask.array.sum(axis=tuple({0, 1, 2} - {axis}))
        means.append(float(np.average(np.arange(len(counts)), weights=counts)))
    return np.array(means) + mask.offset


def _moved_dice(prediction: GridMask, reference: GridMask, move: Point, factor: float) -> float:
    """Return the Dice of the prediction and the moved and scaled reference, at spaced points.

    Args:
        prediction: The mask.
        reference: The reference.
        move: Displacement of the reference in voxels.
        factor: Scale of the reference about its centre.
    """
    centre = _centre(reference)
    # the part of the grid that contains both
    ends = np.stack([np.array(reference.offset), _end(reference)])
    corners = (ends - centre) * factor + centre + move
    low = np.floor(np.minimum(corners[0], prediction.offset)).astype(np.int64)
    high = np.ceil(np.maximum(corners[1], _end(prediction))).astype(np.int64)
    step = max(1, int(np.ceil((np.prod((high - low).astype(np.float64)) / _POINTS) ** (1 / 3))))
    axes = [np.arange(start, stop, step) for start, stop in zip(low, high, strict=True)]
    sampled = _sample(prediction, axes)
    sources = []
    for axis, moved_by, middle in zip(axes, move, centre, strict=True):
        source = (axis - moved_by - middle) / factor + middle
        sources.append(np.floor(source + 0.5).astype(np.int64))
    moved = _sample(reference, sources)
    total = np.count_nonzero(sampled) + np.count_nonzero(moved)
    return 2 * float(np.count_nonzero(sampled & moved)) / total if total else 0.0


def _sample(mask: GridMask, axes: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Sample the mask at the product of three lists of indices; outside its crop it is false."""
    indices = [axis - corner for axis, corner in zip(axes, mask.offset, strict=True)]
    inside = [
        (index >= 0) & (index < length)
        for index, length in zip(indices, mask.array.shape, strict=True)
    ]
    sampled = np.zeros(tuple(map(len, axes)), dtype=bool)
    valid = [index[valid] for index, valid in zip(indices, inside, strict=True)]
    sampled[np.ix_(*inside)] = mask.array[np.ix_(*valid)]
    return sampled


def _end(mask: GridMask) -> NDArray[Any]:
    return np.add(mask.offset, mask.array.shape)
