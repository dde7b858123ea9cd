"""What kind of mistake a poor mask is, from its overlap with the target's reference and with all others of the scan.

The kinds are tried in a fixed order and by fixed thresholds, all of them below; the first that fits is the answer. An
explanation by place or size is tested: the reference, moved to the prediction's centre and scaled to its volume, has to
agree with the prediction.
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

EMPTY, WHOLE_BODY, WRONG_SIDE, NEIGHBOUR, SHIFTED, WRONG_SCALE, FRAGMENT, LEAK, ELSEWHERE, INACCURATE = (
    "empty", "whole-body leak", "wrong side", "neighbour organ", "shifted", "wrong scale", "fragment", "leak", "elsewhere",
    "inaccurate",
)  # fmt: skip

KINDS: Mapping[str, str] = {
    EMPTY: "the mask has no voxel",
    WHOLE_BODY: "at least ten times the reference, and a fifth of the grid or half of each of three other references",
    WRONG_SIDE: "overlaps the organ's mirror more than the organ, and by a Dice of at least 0.3 or half of the mask",
    NEIGHBOUR: "overlaps another reference more than its own, and by a Dice of at least 0.3 or half of the mask",
    SHIFTED: "the volume is within a factor of 1.5, and the reference moved to the mask's centre has a Dice of at least 0.6",
    WRONG_SCALE: "another volume, within a factor of 27 (3 in length), some overlap, and the reference moved and scaled to the mask's has a Dice of at least 0.6",
    FRAGMENT: "at least half of the mask is inside the reference, and less than half of the reference is found",
    LEAK: "at least half of the reference is found, and less than half of the mask is inside the reference",
    ELSEWHERE: "not a hundredth of the mask is inside the reference",
    INACCURATE: "none of the other kinds",
}
"""Every kind with its rule, in the order in which they are tried."""

#: points of a mask that are compared at most, evenly spaced
_POINTS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMode:
    """The kind, and the figures that it was told by."""

    kind: str
    #: the reference that the mask overlaps most beside its own; with its Dice
    neighbour: str | None = None
    neighbour_dice: float = 0.0
    #: predicted by reference volume
    volume_ratio: float = 0.0
    #: share of the mask inside the reference, and share of the reference found
    inside: float = 0.0
    found: float = 0.0
    #: between the centres of mass, mm; None for an empty mask
    shift_mm: float | None = None


def classify(prediction: GridMask, references: Mapping[str, GridMask], target: str) -> FailureMode:
    """The kind of mistake that a mask of ``target`` is; all masks are on one grid, the target's reference is not empty."""
    own = references[target]
    size, wanted = prediction.voxel_count, own.voxel_count
    if not size:
        return FailureMode(kind=EMPTY)
    shared = {
        name: shared_voxels(prediction, mask) for name, mask in references.items() if not mask.empty
    }
    dice = {
        name: 2 * count / (size + references[name].voxel_count) for name, count in shared.items()
    }
    others = {name: value for name, value in dice.items() if name != target}
    neighbour = max(others, key=lambda name: (others[name], name), default=None)
    move = _centre(prediction) - _centre(own)
    figures = FailureMode(
        kind=INACCURATE,
        neighbour=neighbour if neighbour and others[neighbour] > 0 else None,
        neighbour_dice=others.get(neighbour or "", 0.0),
        volume_ratio=size / wanted,
        inside=shared[target] / size,
        found=shared[target] / wanted,
        shift_mm=float(np.linalg.norm(affine_of(own.grid)[:3, :3] @ move)),
    )

    def taken_for(name: str | None) -> bool:
        if name not in others or others[name] <= dice[target]:
            return False
        return others[name] >= 0.3 or shared[name] >= size / 2

    covered = sum(
        count >= references[name].voxel_count / 2
        for name, count in shared.items()
        if name != target
    )
    if size >= 10 * wanted and (size >= np.prod(own.grid.shape) / 5 or covered >= 3):
        return replace(figures, kind=WHOLE_BODY)
    if taken_for(mirror := mirrored(target)):
        return replace(figures, kind=WRONG_SIDE, neighbour=mirror, neighbour_dice=others[mirror])
    if taken_for(neighbour):
        return replace(figures, kind=NEIGHBOUR)
    return replace(figures, kind=_by_shape(prediction, own, move, figures))


def mirrored(target: str) -> str:
    """The name of the organ on the other side: kidney-left for kidney-right; the name itself for an organ without one."""
    swap = {"left": "right", "right": "left"}
    return "-".join(swap.get(part, part) for part in target.split("-"))


def shared_voxels(one: GridMask, two: GridMask) -> int:
    """How many voxels two masks on one grid share."""
    low = np.maximum(one.offset, two.offset)
    high = np.minimum(_end(one), _end(two))
    if (low >= high).any():
        return 0
    crops = (
        mask.array[tuple(map(slice, low - mask.offset, high - mask.offset))] for mask in (one, two)
    )
    return int(np.count_nonzero(np.logical_and(*crops)))


def _by_shape(
    prediction: GridMask, own: GridMask, move: NDArray[np.float64], figures: FailureMode
) -> str:
    ratio, inside, found = figures.volume_ratio, figures.inside, figures.found
    similar, scaled = 1 / 1.5 <= ratio <= 1.5, found > 0 and 1 / 27 <= ratio <= 27
    if (similar or scaled) and _moved_dice(
        prediction, own, move, 1.0 if similar else ratio ** (1 / 3)
    ) >= 0.6:
        return SHIFTED if similar else WRONG_SCALE
    if inside < 0.01:
        return ELSEWHERE
    if inside >= 0.5 and found < 0.5:
        return FRAGMENT
    if found >= 0.5 and inside < 0.5:
        return LEAK
    return INACCURATE


def _centre(mask: GridMask) -> NDArray[np.float64]:
    """Centre of mass, in voxels of the grid."""
    sums = [mask.array.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    means = [float(np.average(np.arange(len(own)), weights=own)) for own in sums]
    return np.array(means) + mask.offset


def _moved_dice(
    prediction: GridMask, own: GridMask, move: NDArray[np.float64], factor: float
) -> float:
    """Dice of the prediction and the reference moved by ``move`` voxels and scaled about its centre, on evenly spaced points."""
    centre = _centre(own)
    # the part of the grid that holds both
    corners = (np.stack([np.array(own.offset), _end(own)]) - centre) * factor + centre + move
    low = np.floor(np.minimum(corners[0], prediction.offset)).astype(np.int64)
    high = np.ceil(np.maximum(corners[1], _end(prediction))).astype(np.int64)
    step = max(1, int(np.ceil((np.prod((high - low).astype(np.float64)) / _POINTS) ** (1 / 3))))
    axes = [np.arange(l, h, step) for l, h in zip(low, high, strict=True)]
    there = _sample(prediction, axes)
    back = [(axis - m - c) / factor + c for axis, m, c in zip(axes, move, centre, strict=True)]
    moved = _sample(own, [np.floor(axis + 0.5).astype(np.int64) for axis in back])
    total = np.count_nonzero(there) + np.count_nonzero(moved)
    return 2 * float(np.count_nonzero(there & moved)) / total if total else 0.0


def _sample(mask: GridMask, axes: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """The mask at the products of three lists of indices; beyond its crop it is not."""
    places = [axis - corner for axis, corner in zip(axes, mask.offset, strict=True)]
    valid = [(place >= 0) & (place < n) for place, n in zip(places, mask.array.shape, strict=True)]
    out = np.zeros(tuple(map(len, axes)), dtype=bool)
    picked = mask.array[np.ix_(*(place[good] for place, good in zip(places, valid, strict=True)))]
    out[np.ix_(*valid)] = picked
    return out


def _end(mask: GridMask) -> NDArray[Any]:
    return np.add(mask.offset, mask.array.shape)
